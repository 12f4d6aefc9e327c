"""Intake, deployment, release and power from end to end, on hardware in memory."""

import pytest

from common.outbox import OutboxEvent
from compliance.audit.models import AuditEvent
from provisioning import selectors, services
from provisioning.errors import JobConflict
from provisioning.models import EraseRecord, HealthRecord, Job
from tests.provisioning.rig import ACTOR, HOST_KEY, OPERATOR


def events(kind):
    return [event.payload for event in OutboxEvent.objects.filter(kind=kind).order_by("pk")]


def test_intake_leaves_a_node_available_with_its_evidence(enrolled):
    job = services.request_intake(node=enrolled.node, actor=ACTOR)
    enrolled.settle()
    assert enrolled.refresh().state == "available"
    records = EraseRecord.objects.filter(job=job)
    assert {(r.drive_serial, r.method, r.duration_s, r.samples_checked) for r in records} == {
        ("D0", "nvme_format_crypto", 7, 8),
        ("D1", "nvme_format_crypto", 7, 8),
    }
    assert HealthRecord.objects.get(job=job).passed
    assert enrolled.bmc_log[-1] == "off"


def test_a_deployment_hands_over_a_checked_node_and_keeps_no_key(rig):
    job = rig.deploy(user_data="#!/bin/sh\necho hello\n")
    assert rig.node.state == "deploying"
    assert rig.node.holder_id == rig.tenant.pk
    rig.settle()
    job.refresh_from_db()
    assert (job.state, job.private_key_sealed, job.user_data_sealed) == ("done", None, None)
    assert rig.refresh().state == "active"
    assert events("node.deployed") == [{"node_id": rig.node.pk, "reservation_ref": "res_one"}]
    assert rig.machine.boots == ["http", "disk"]
    assert rig.bmc_log == ["boot http", "on", "off", "boot disk", "on"]
    assert not rig.machine.login_open
    seed = rig.machine.seeds[0]
    assert seed["user"] == "#!/bin/sh\necho hello\n"
    assert seed["meta"]["local-hostname"] == "alpha"
    facts = selectors.connection_facts(node=rig.node)
    assert (facts.user, facts.host_keys) == ("debian", (HOST_KEY,))


def test_a_release_erases_and_sells_again_and_then_the_tenant_holds_nothing(rig):
    rig.deploy()
    rig.settle()
    job = rig.release()
    assert rig.node.state == "cleaning"
    rig.settle()
    assert rig.refresh().state == "available"
    assert rig.node.holder_id is None
    assert EraseRecord.objects.filter(job=job, reservation_ref="res_one").count() == 2
    assert events("node.cleaned")[-1] == {"node_id": rig.node.pk, "reservation_ref": "res_one"}
    assert selectors.connection_facts(node=rig.node) is None


def test_every_change_of_a_node_in_a_tenants_hands_is_in_the_tenants_log_until_the_erase_is_complete(rig):
    rig.deploy()
    rig.settle()
    rig.release()
    rig.settle()
    told = AuditEvent.objects.filter(subject_ref=rig.node.ref, log_tenant_id=rig.tenant.pk).order_by("pk")
    assert [event.kind for event in told] == ["node.deploy", "node.deployed", "node.release", "node.cleaned"]
    assert {event.context_ref for event in told} == {"res_one"}


def test_asking_twice_gives_the_same_job(rig):
    assert rig.deploy().pk == rig.deploy().pk
    rig.settle()
    first = rig.release()
    assert rig.release().pk == first.pk
    rig.settle()
    assert rig.release().pk == first.pk


def test_a_deployment_waits_for_a_node_that_is_being_cleaned(rig):
    rig.deploy()
    rig.settle()
    rig.release()
    second = rig.deploy(ref="res_two")
    assert second.is_queued
    assert rig.node.holder_id == rig.tenant.pk
    rig.settle()
    second.refresh_from_db()
    assert (second.state, rig.refresh().state) == ("done", "active")
    assert services.serves(rig.node) == "res_two"


def test_a_queued_deployment_that_is_released_never_touches_the_node(rig):
    rig.deploy()
    rig.settle()
    rig.release()
    rig.deploy(ref="res_two")
    assert rig.release(ref="res_two").state == "cancelled"
    rig.settle()
    assert rig.refresh().state == "available"
    assert {"node_id": rig.node.pk, "reservation_ref": "res_two", "untouched": True} in events("node.cleaned")


def test_a_release_in_mid_deployment_cancels_it_and_cleans(rig):
    rig.machine.phones_home = False
    job = rig.deploy()
    rig.settle()
    job.refresh_from_db()
    assert job.state == "waiting"
    rig.release()
    rig.settle()
    job.refresh_from_db()
    assert (job.state, rig.refresh().state) == ("cancelled", "available")


def test_nobody_releases_or_switches_a_node_of_another_reservation(rig):
    rig.deploy()
    rig.settle()
    with pytest.raises(JobConflict):
        rig.release(ref="res_other")
    with pytest.raises(JobConflict):
        services.request_power(node=rig.node, action="off", reservation_ref="res_other", actor=ACTOR)
    assert rig.refresh().state == "active"
    assert Job.objects.filter(node=rig.node, kind="power").count() == 0


@pytest.mark.parametrize(
    ("action", "log", "power"),
    [
        ("off", ["soft"], "off"),
        ("cycle", ["off", "on"], "on"),
        ("reset", ["reset"], "on"),
        ("on", [], "on"),
    ],
)
def test_power_actions_do_what_they_say_once(rig, action, log, power):
    rig.deploy()
    rig.settle()
    rig.bmc_log.clear()
    services.request_power(node=rig.node, action=action, reservation_ref="res_one", actor=ACTOR)
    rig.settle()
    assert rig.bmc_log == log
    assert events("node.power_changed")[-1]["power"] == power
    assert rig.refresh().state == "active"


def test_progress_shows_every_step_and_an_eta_while_it_runs(rig, django_assert_num_queries):
    rig.machine.reports = False
    rig.deploy()
    rig.settle()
    with django_assert_num_queries(3):
        (progress,) = selectors.progress_of(reservation_ref="res_one")
    assert [step.state for step in progress.steps[:4]] == ["done", "done", "running", "pending"]
    assert progress.kind == "deploy"
    assert 0 < progress.eta_low_s < progress.eta_high_s
    assert 0 < progress.percent < 50


def test_the_operator_cleans_maintains_and_quarantines(rig):
    services.maintain(node=rig.node, actor=OPERATOR, reason="new fan")
    assert rig.refresh().state == "maintenance"
    services.request_cleaning(node=rig.node, actor=OPERATOR)
    rig.settle()
    assert rig.refresh().state == "available"
    services.quarantine(node=rig.node, actor=OPERATOR, reason="smells of smoke")
    assert rig.refresh().state == "quarantined"
    assert "smells of smoke" in rig.node.state_reason
