"""Before the hand-over the tenant's own system reports its health: it may raise a doubt and never dispel one."""

import pytest
from django.db.models.functions import Now

from provisioning.health import Finding, Report
from provisioning.models import HealthFinding, HealthRecord, Job
from provisioning.steps.health import record_report

Phase = HealthRecord.Phase
CLEAN = Report(gpu_count=8, gpu_model="H200", measured={}, findings=())
DOUBT = Finding(kind="xid", severity="critical", bars_allocation=True, part="0")


@pytest.fixture
def job(rig):
    return Job.objects.filter(node=rig.node).latest("pk")


def open_findings(rig):
    return HealthFinding.objects.filter(node=rig.node, resolved_at=None)


@pytest.mark.parametrize(("phase", "left"), [(Phase.HANDOVER, 1), (Phase.CLEANING, 0)])
def test_a_report_without_findings_resolves_only_in_the_rescue_system(rig, job, phase, left):
    HealthFinding.objects.create(
        node=rig.node, kind="ecc", severity="warning", bars_allocation=False, part="1", last_seen_at=Now()
    )
    record_report(job=job, node=rig.node, phase=phase, report=CLEAN)
    assert open_findings(rig).count() == left


def test_what_such_a_system_claims_is_gone_after_the_next_cleaning(rig, job):
    claimed = Report(gpu_count=8, gpu_model="H200", measured={}, findings=(DOUBT,))
    record_report(job=job, node=rig.node, phase=Phase.HANDOVER, report=claimed)
    assert open_findings(rig).get().bars_allocation
    record_report(job=job, node=rig.node, phase=Phase.CLEANING, report=CLEAN)
    assert not open_findings(rig).exists()
