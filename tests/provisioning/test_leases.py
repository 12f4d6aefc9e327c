"""Leases and fencing: one worker at a time, a stale one changes nothing, a killed one is followed by another."""

import subprocess
import sys

import pytest
from django.db.models.functions import Now

from provisioning import bmc, leases, runner, services, workers
from provisioning.bmc import BmcTurnTaken
from provisioning.drivers.fake import FakeDriver
from provisioning.errors import LeaseLost
from provisioning.models import BmcTurn, Job, JobStep
from provisioning.steps import base, boot
from tests.provisioning.rig import ACTOR


class Killed(BaseException):
    """The worker is gone: nothing after this point runs, no handler sees it."""


def expire(job):
    Job.objects.filter(pk=job.pk).update(lease_expires_at=Now())
    BmcTurn.objects.update(held_until=Now())


def test_two_workers_never_hold_one_job(rig):
    job = rig.deploy()
    first = leases.take(job_ref=job.ref)
    assert first is not None
    assert leases.take(job_ref=job.ref) is None
    expire(job)
    second = leases.take(job_ref=job.ref)
    assert second.token == first.token + 1
    with pytest.raises(LeaseLost):
        first.check()
    second.check()
    assert first.renew() is False
    assert second.renew() is True


def test_a_stale_workers_result_is_dropped_and_undone(rig):
    job = rig.deploy()
    lease = leases.take(job_ref=job.ref)
    ctx = runner._context(lease)
    runner._begin(ctx, runner.spec_of(kind="deploy", position=0))
    expire(job)
    newer = leases.take(job_ref=job.ref)
    applied = []
    with pytest.raises(LeaseLost):
        runner._advance(ctx, base.Done(detail={"from": "the grave"}, apply=lambda: applied.append(1)))
    assert applied == []
    step = JobStep.objects.get(job=job, position=0)
    assert (step.status, step.detail) == ("running", {})
    job.refresh_from_db()
    assert (job.position, job.fencing_token) == (0, newer.token)


def test_a_stale_worker_neither_fails_nor_parks_the_job(rig):
    job = rig.deploy()
    lease = leases.take(job_ref=job.ref)
    ctx = runner._context(lease)
    expire(job)
    leases.take(job_ref=job.ref)
    with pytest.raises(LeaseLost):
        runner._failed(ctx, runner.spec_of(kind="deploy", position=0), runner.UnexpectedError("late"))
    with pytest.raises(LeaseLost):
        leases.put_down(lease=lease, wait_s=1)
    with pytest.raises(LeaseLost):
        ctx.note(anything=1)
    job.refresh_from_db()
    assert (job.state, job.failure_code) == ("leased", "")


def test_a_stale_worker_does_not_reach_the_bmc(rig):
    job = rig.deploy()
    lease = leases.take(job_ref=job.ref)
    ctx = runner._context(lease)
    services.cancel_job(job=job, actor=ACTOR, reason="not wanted")
    rig.bmc_log.clear()
    with pytest.raises(LeaseLost):
        boot.boot_rescue(ctx)
    assert rig.bmc_log == []


@pytest.mark.parametrize("after", [False, True], ids=["before the act", "after the act"])
@pytest.mark.parametrize("position", range(10))
def test_a_worker_killed_at_any_step_is_followed_without_a_second_power_action(rig, position, after):
    spec = runner.PLANS["deploy"][position]
    original, alive = spec.run, [True]

    def run(ctx):
        if not (alive[0] and ctx.job.kind == "deploy"):
            return original(ctx)
        alive[0] = False
        if after:
            original(ctx)
        raise Killed

    object.__setattr__(spec, "run", run)
    try:
        job = rig.deploy()
        with pytest.raises(Killed):
            rig.settle()
        job.refresh_from_db()
        assert job.state == "leased"
        assert leases.take(job_ref=job.ref) is None
        expire(job)
        assert job.ref in [ref for ref, _site in leases.due(per_site=10)]
        runner.run(job_ref=job.ref)
        rig.settle()
    finally:
        object.__setattr__(spec, "run", original)
    job.refresh_from_db()
    assert (job.state, rig.refresh().state) == ("done", "active")
    assert [act for act in rig.bmc_log if not act.startswith("boot")] == ["on", "off", "on"]
    assert rig.machine.boots == ["http", "disk"]


def test_news_that_arrives_while_a_worker_is_looking_makes_the_job_due_at_once(rig):
    job = rig.deploy()
    lease = leases.take(job_ref=job.ref)
    leases.nudge(job_id=job.pk)
    assert leases.put_down(lease=lease, wait_s=None, until_deadline=True) is True
    assert leases.take(job_ref=job.ref) is not None


def test_the_reconciler_sees_what_is_due_and_nothing_else(rig):
    job = rig.deploy()
    assert [ref for ref, _ in leases.due(per_site=5)] == [job.ref]
    lease = leases.take(job_ref=job.ref)
    assert leases.due(per_site=5) == []
    leases.put_down(lease=lease, wait_s=3600)
    assert leases.due(per_site=5) == []
    rig.time_out(job)
    assert leases.due(per_site=5) == [(job.ref, "kladno")]
    assert leases.next_due(site_code="kladno") == job.ref
    assert leases.next_due(site_code="warsaw") is None


def test_a_bmc_takes_one_worker_at_a_time(rig):
    with bmc.session(node=rig.node, check=lambda: None), pytest.raises(BmcTurnTaken):
        bmc.session(node=rig.node, check=lambda: None).__enter__()
    with bmc.session(node=rig.node, check=lambda: None) as driver:
        assert driver.power_state() == "off"


def test_the_pause_between_two_commands_is_kept_for_ipmi(rig, monkeypatch, settings):
    settings.CHAPEK_IPMI_GAP_S = 5
    slept = []
    monkeypatch.setattr("provisioning.bmc.time.sleep", slept.append)
    monkeypatch.setattr("provisioning.bmc.factory", lambda _name: FakeDriver)
    rig.node.bmc.driver = "ipmi"
    with bmc.session(node=rig.node, check=lambda: None) as driver:
        driver.power_state()
        driver.power_on()
    assert len(slept) == 1
    assert 4.5 < slept[0] <= 5
    with bmc.session(node=rig.node, check=lambda: None) as driver:
        driver.power_state()
    assert len(slept) == 2, "the pause holds from one turn to the next, whichever worker has it"


def test_a_job_waits_for_its_turn_at_the_bmc_and_counts_no_failure(rig):
    with bmc.session(node=rig.node, check=lambda: None):
        job = rig.deploy()
        for _ in range(10):
            Job.objects.filter(pk=job.pk).update(run_at="2020-01-01T00:00:00Z")
            runner.run(job_ref=job.ref)
        job.refresh_from_db()
        assert (job.state, job.position, job.attempts) == ("waiting", 0, 0)
    rig.settle()
    assert rig.refresh().state == "active"


def test_what_a_dead_process_of_this_machine_held_is_free_at_once(rig, monkeypatch):
    code = "import sys; sys.path.insert(0, '.'); from provisioning import workers; print(workers.me())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    dead = done.stdout.strip()
    assert workers.is_dead(dead)
    assert not workers.is_dead(workers.me())
    assert not workers.is_dead(dead.replace(dead.partition(":")[0], "another-machine.1"))
    job = rig.deploy()
    with monkeypatch.context() as patch:
        patch.setattr("provisioning.leases.worker_name", lambda: f"{dead}/1")
        patch.setattr("provisioning.bmc.worker_name", lambda: f"{dead}/1")
        leases.take(job_ref=job.ref)
        turn = bmc.session(node=rig.node, check=lambda: None)
        turn.__enter__()
    with pytest.raises(BmcTurnTaken), bmc.session(node=rig.node, check=lambda: None):
        pass
    assert leases.due(per_site=5) == []
    assert leases.free_orphans() == 1
    assert leases.due(per_site=5) == [(job.ref, "kladno")]
    with bmc.session(node=rig.node, check=lambda: None) as driver:
        assert driver.power_state() == "off"
    assert leases.free_orphans() == 0
