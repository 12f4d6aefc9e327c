"""The health gate: after cleaning in the rescue system, before hand-over in the installed one."""

from django.db import transaction
from django.db.models.functions import Now

from inventory.models import Node
from provisioning import health
from provisioning.errors import HealthGateClosed
from provisioning.models import HealthFinding, HealthRecord, Job
from provisioning.steps.base import Done, StepContext, StepResult

DIAGNOSIS_LEVEL = 1
TIMEOUT_S = 600


def health_in_rescue(ctx: StepContext) -> StepResult:
    output = ctx.rescue().run("health", parameters={"SUDO": "", "DIAGNOSIS": DIAGNOSIS_LEVEL}, timeout_s=TIMEOUT_S)
    return _gate(ctx, output.sections(), HealthRecord.Phase.CLEANING)


def health_installed(ctx: StepContext) -> StepResult:
    output = ctx.installed().run(
        "health", parameters={"SUDO": "sudo -n", "DIAGNOSIS": DIAGNOSIS_LEVEL}, timeout_s=TIMEOUT_S
    )
    return _gate(ctx, output.sections(), HealthRecord.Phase.HANDOVER)


def _gate(ctx: StepContext, sections: dict[str, str], phase: str) -> StepResult:
    report = health.judge(sections, expected=expected_of(ctx.node))
    if not report.passed:
        barring = [finding for finding in report.findings if finding.bars_allocation]
        record_report(job=ctx.job, node=ctx.node, phase=phase, report=report)
        raise HealthGateClosed(
            "; ".join(sorted({f"{finding.kind} {finding.part}".strip() for finding in barring}))[:500],
            findings=[finding.kind for finding in barring],
        )

    def apply() -> None:
        record_report(job=ctx.job, node=ctx.node, phase=phase, report=report)

    return Done(detail={"gpus": report.gpu_count, "diagnosis": report.measured.get("diagnosis", {})}, apply=apply)


def expected_of(node: Node) -> health.Expected:
    return health.Expected(
        gpu_count=node.node_type.gpu_count,
        gpu_model=node.node_type.gpu_model.code,
        gpu_serials=frozenset(node.hardware_bill.get("gpus", [])),
    )


@transaction.atomic
def record_report(*, job: Job, node: Node, phase: str, report: health.Report) -> HealthRecord:
    """Keep the check, open or renew what it found; in the rescue system, also resolve what is gone."""
    record = HealthRecord.objects.create(
        node=node,
        job=job,
        reservation_ref=job.reservation_ref,
        phase=phase,
        passed=report.passed,
        gpu_count=report.gpu_count,
        gpu_model=report.gpu_model[:80],
        measured=report.measured,
    )
    seen: list[int] = []
    for finding in report.findings:
        row, _ = HealthFinding.objects.update_or_create(
            node=node,
            kind=finding.kind,
            part=finding.part[:80],
            resolved_at=None,
            defaults={
                "record": record,
                "severity": finding.severity,
                "bars_allocation": finding.bars_allocation,
                "evidence": finding.evidence,
                "last_seen_at": Now(),
            },
        )
        seen.append(row.pk)
    if phase != HealthRecord.Phase.CLEANING:
        # Before the hand-over it is the tenant's system that speaks: it may raise a doubt and never dispel one.
        return record
    measured_here = (
        HealthFinding.Kind.GPU_COUNT,
        HealthFinding.Kind.GPU_MODEL,
        HealthFinding.Kind.ECC,
        HealthFinding.Kind.REMAP,
        HealthFinding.Kind.XID,
        HealthFinding.Kind.THERMAL,
        HealthFinding.Kind.DIAGNOSIS,
        HealthFinding.Kind.DRIVER,
        HealthFinding.Kind.HARDWARE,
    )
    HealthFinding.objects.filter(node=node, resolved_at=None, kind__in=measured_here).exclude(pk__in=seen).update(
        resolved_at=Now()
    )
    return record
