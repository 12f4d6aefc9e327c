"""Every way a step can end badly has a typed end, and leaves the node where something leads on."""

import pytest
from django.db import IntegrityError, transaction

from common.outbox import OutboxEvent
from inventory.models import Node
from inventory.states import NODE, NodeEvent, NodeState
from provisioning import outcomes, plans, runner, services
from provisioning.errors import EvidenceIncomplete, JobConflict
from provisioning.jobs import create_job
from provisioning.models import EraseRecord, HealthFinding, HealthRecord, Job
from tests.provisioning.rig import ACTOR, OPERATOR


def last(kind):
    return OutboxEvent.objects.filter(kind=kind).order_by("pk").last().payload


def break_bmc(rig):
    rig.machine.bmc.is_reachable = False


def break_password(rig):
    rig.machine.bmc.password = "changed by somebody"


def break_script(name, status=1):
    def apply(rig):
        rig.machine.breaks.update({name: status})

    apply.__name__ = f"{name}_exits_{status}"
    return apply


def break_flag(**flags):
    def apply(rig):
        for name, value in flags.items():
            setattr(rig.machine, name, value)

    apply.__name__ = "_".join(flags)
    return apply


def id_of(value):
    """The same in every process of a run: an address in a test's id would not be."""
    return value.__name__ if callable(value) else str(value)


DEPLOYMENT_FAILURES = [
    (break_bmc, "bmc-unreachable", "hardware"),
    (break_password, "bmc-credentials-refused", "operator"),
    (break_flag(host_key_differs=True), "host-key-mismatch", "operator"),
    (break_script("write_image"), "script-failed", "hardware"),
    (break_script("write_image", 65), "image-rejected", "operator"),
    (break_script("write_seed"), "script-failed", "hardware"),
    (break_script("health"), "script-failed", "hardware"),
    (break_flag(ecc_errors=3), "health-gate-closed", "hardware"),
    (break_script("close_access"), "script-failed", "hardware"),
]


@pytest.mark.parametrize(("broken", "code", "fault"), DEPLOYMENT_FAILURES, ids=id_of)
def test_a_failed_deployment_ends_typed_and_its_node_goes_to_cleaning(rig, broken, code, fault):
    job = rig.deploy()
    broken(rig)
    for _ in range(300):
        job.refresh_from_db()
        if not job.is_live:
            break
        Job.objects.filter(pk=job.pk).update(run_at="2020-01-01T00:00:00Z")
        runner.run(job_ref=job.ref)
    assert (job.state, job.failure_code, job.failure_fault) == ("failed", code, fault)
    assert (job.private_key_sealed, job.user_data_sealed) == (None, None)
    payload = last("node.deployment_failed")
    assert (payload["reservation_ref"], payload["code"]) == ("res_one", code)
    assert rig.refresh().state == "cleaning"
    assert rig.jobs().last().kind == "release"
    assert rig.node.holder_id == rig.tenant.pk, "what was written may be theirs until it is erased"


def test_a_node_that_does_not_report_is_booted_again_once_and_then_the_deployment_fails(rig):
    rig.machine.reports = False
    job = rig.deploy()
    rig.settle()
    rig.time_out(job)
    rig.settle()
    assert rig.machine.boots == ["http", "http"]
    job.refresh_from_db()
    assert job.state == "waiting"
    rig.time_out(job)
    rig.machine.reports = True
    rig.settle()
    job.refresh_from_db()
    assert (job.state, job.failure_code, job.failure_fault) == ("failed", "step-timed-out", "hardware")
    assert rig.refresh().state == "available", "and the automatic cleaning made it sellable again"


def test_a_transient_failure_is_tried_again_with_a_pause_and_heals(rig):
    rig.machine.breaks["write_image"] = 1
    job = rig.deploy()
    while not job.steps.filter(name="write_image", attempts=1).exists():
        Job.objects.filter(pk=job.pk).update(run_at="2020-01-01T00:00:00Z")
        runner.run(job_ref=job.ref)
    job.refresh_from_db()
    assert job.state == "waiting"
    assert 0 < (job.run_at - job.steps.get(name="write_image").started_at).total_seconds() < 4
    rig.machine.breaks.clear()
    rig.settle()
    assert rig.refresh().state == "active"


CLEANING_FAILURES = [
    (break_bmc, "bmc-unreachable"),
    (break_script("drives"), "script-failed"),
    (break_script("erase"), "script-failed"),
    (break_flag(survivors=1), "erase-failed"),
    (break_flag(drives=("D0",)), "erase-failed"),
    (break_flag(drives=()), "erase-failed"),
    (break_flag(gpus=("G0",)), "health-gate-closed"),
    (break_flag(ecc_errors=1), "health-gate-closed"),
]


@pytest.mark.parametrize(("broken", "code"), CLEANING_FAILURES, ids=id_of)
def test_a_failed_cleaning_quarantines_and_never_sells(rig, broken, code):
    rig.deploy()
    rig.settle()
    broken(rig)
    job = rig.release()
    rig.settle()
    job.refresh_from_db()
    assert (job.state, job.failure_code) == ("failed", code)
    assert rig.refresh().state == "quarantined"
    assert rig.node.state_reason.startswith(code)
    assert last("node.quarantined")["code"] == code
    assert rig.node.holder_id == rig.tenant.pk


def test_a_wrong_password_is_tried_once_per_job(enrolled):
    enrolled.machine.bmc.password = "another"
    tries = []
    enrolled.machine.bmc.on_act = tries.append
    job = services.request_intake(node=enrolled.node, actor=ACTOR)
    enrolled.settle()
    job.refresh_from_db()
    assert (job.failure_code, job.steps.get(name="verify_bmc").attempts) == ("bmc-credentials-refused", 1)
    assert enrolled.refresh().state == "quarantined"


def test_intake_names_every_difference_to_the_papers(enrolled):
    enrolled.machine.gpus = ("G0", "G1")
    enrolled.machine.drives = ("D0", "D9")
    services.request_intake(node=enrolled.node, actor=ACTOR)
    enrolled.settle()
    reason = enrolled.refresh().state_reason
    for words in ("2 GPUs, 8 expected", "drives missing: D1", "drives not enrolled: D9"):
        assert words in reason
    assert EraseRecord.objects.count() == 0, "a machine that is not ours is not erased"


def test_findings_are_kept_while_they_last_and_resolved_when_they_are_gone(rig):
    rig.machine.ecc_errors = 2
    services.request_cleaning(node=rig.node, actor=OPERATOR)
    rig.settle()
    found = HealthFinding.objects.filter(node=rig.node, resolved_at=None)
    assert {(f.kind, f.severity, f.bars_allocation) for f in found} == {("ecc", "critical", True)}
    assert found.count() == 8
    rig.machine.ecc_errors = 0
    services.retry_job(job=rig.jobs().last(), actor=OPERATOR)
    rig.settle()
    assert rig.refresh().state == "available"
    assert not found.all().exists()


def test_a_failed_release_is_retried_and_its_evidence_is_the_reservations(rig):
    rig.deploy()
    rig.settle()
    rig.machine.survivors = 1
    job = rig.release()
    rig.settle()
    rig.machine.survivors = 0
    services.retry_job(job=job, actor=OPERATOR)
    rig.settle()
    assert rig.refresh().state == "available"
    assert EraseRecord.objects.filter(reservation_ref="res_one").count() == 2
    assert last("node.cleaned")["reservation_ref"] == "res_one"


def test_an_operators_cleaning_after_a_failed_release_is_still_the_reservations(rig):
    rig.deploy()
    rig.settle()
    rig.machine.survivors = 1
    rig.release()
    rig.settle()
    rig.machine.survivors = 0
    services.request_cleaning(node=rig.node, actor=OPERATOR)
    rig.settle()
    assert last("node.cleaned")["reservation_ref"] == "res_one"
    assert rig.refresh().holder_id is None


def test_a_failed_deployment_is_not_retried(rig):
    job = rig.deploy()
    services.cancel_job(job=job, actor=OPERATOR, reason="wrong image")
    job.refresh_from_db()
    assert job.state == "cancelled"
    with pytest.raises(JobConflict):
        services.retry_job(job=job, actor=OPERATOR)
    rig.settle()
    assert rig.refresh().state == "available"


def test_a_fault_of_our_own_code_ends_typed_without_its_words(rig, monkeypatch):
    def explode(_rig, _parameters):
        raise ZeroDivisionError("secret things")

    monkeypatch.setattr(type(rig.machine), "_write_seed", explode)
    job = rig.deploy()
    rig.settle()
    job.refresh_from_db()
    assert (job.failure_code, job.failure_fault) == ("platform-fault", "platform")
    assert "secret" not in job.failure_reason


# Invariant I2: there is no way into ``available`` without evidence.


def test_the_state_table_has_one_door_into_available():
    doors = [(source, event) for (source, event), target in NODE.table.items() if target == NodeState.AVAILABLE]
    assert doors == [(NodeState.CLEANING, NodeEvent.CLEANED)]


def test_every_plan_that_ends_in_available_erases_verifies_and_checks_in_this_order():
    for kind in ("intake", "clean", "release"):
        names = [spec.name for spec in plans.PLANS[kind]]
        assert names[-4:] == ["erase", "verify_erased", "health", "power_off_clean"], kind
    assert "cleaned" not in plans.NODE_EVENTS.values()


@pytest.mark.parametrize("missing", ["everything", "one drive", "health", "passed", "finding"])
def test_a_cleaning_without_complete_evidence_does_not_reach_available(rig, missing):
    services.request_cleaning(node=rig.node, actor=OPERATOR)
    job = rig.jobs().last()
    node = Node.objects.get(pk=rig.node.pk)
    serials = [] if missing == "everything" else ["D0"] if missing == "one drive" else ["D0", "D1"]
    for serial in serials:
        EraseRecord.objects.create(
            node=node, job=job, drive_serial=serial, size_bytes=1, method="overwrite", standard="x",
            samples_checked=1, markers_planted=1, started_at=job.created_at, finished_at=job.created_at, duration_s=0,
            done_by="test",
        )  # fmt: skip
    if missing != "health":
        HealthRecord.objects.create(node=node, job=job, phase="cleaning", passed=missing != "passed", gpu_count=8)
    if missing == "finding":
        HealthFinding.objects.create(node=node, kind="xid", severity="critical", bars_allocation=True, part="0")
    with pytest.raises((EvidenceIncomplete, outcomes.HealthGateClosed)):
        outcomes.succeed(job=job, node=node)
    assert rig.refresh().state == "cleaning"


def test_evidence_of_another_job_does_not_count(rig):
    services.request_cleaning(node=rig.node, actor=OPERATOR)
    job = rig.jobs().last()
    assert EraseRecord.objects.exclude(job=job).filter(node=rig.node).count() == 2
    with pytest.raises(EvidenceIncomplete):
        outcomes.require_evidence(job=job, node=rig.node)


def test_one_node_has_one_live_job(rig):
    rig.deploy()
    with pytest.raises(IntegrityError), transaction.atomic():
        create_job(kind="power", node=rig.node, actor=ACTOR)
