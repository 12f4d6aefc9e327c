"""What others may read of provisioning."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from inventory.models import Node
from provisioning.models import BootSession, EraseRecord, HealthFinding, HealthRecord, Job, JobStep
from provisioning.plans import PLANS, label_of
from provisioning.states import JobKind, JobState, StepState

PAST_RUNS = 50
LEAST_PAST_RUNS = 3


@dataclass(frozen=True, kw_only=True)
class StepProgress:
    """One step as a tenant may see it."""

    name: str
    label: str
    state: str
    started_at: datetime | None
    finished_at: datetime | None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class JobProgress:
    """One job of a reservation. The ETA is a range in seconds from now; None when the job is over or queued."""

    node_ref: str
    node_name: str
    job_ref: str
    kind: str
    state: str
    is_queued: bool
    created_at: datetime
    finished_at: datetime | None
    steps: tuple[StepProgress, ...]
    percent: int
    eta_low_s: int | None
    eta_high_s: int | None
    failure_reason: str
    failure_code: str
    failure_fault: str


@dataclass(frozen=True, kw_only=True)
class ConnectionFacts:
    """How a tenant reaches the node by SSH, and which host keys it has."""

    address: str
    port: int
    user: str
    host_keys: tuple[str, ...]


# Kept from the tenant: addresses of boots, drives' offsets and capabilities are the operator's business.
_SHOWN_DETAIL = (
    "image",
    "version",
    "sha256",
    "gpus",
    "diagnosis",
    "drives",
    "samples",
    "power",
    "deployment_key",
    "last_failure",
)


def progress_of(*, reservation_ref: str) -> list[JobProgress]:
    """Every job of the reservation, oldest first, in two queries (one more for the ETA of those that run)."""
    jobs = list(
        Job.objects.filter(reservation_ref=reservation_ref)
        .select_related("node")
        .prefetch_related(Prefetch("steps", queryset=JobStep.objects.order_by("position")))
        .order_by("pk")
    )
    running = [job for job in jobs if job.is_live and not job.is_queued]
    usual = usual_durations(pairs={(job.kind, job.node.node_type_id) for job in running}) if running else {}
    return [_progress(job, usual) for job in jobs]


def _progress(job: Job, usual: dict[tuple[str, int, str], tuple[float, float]]) -> JobProgress:
    steps = list(job.steps.all())
    ranges = {
        spec.name: usual.get((job.kind, job.node.node_type_id, spec.name), spec.usual_s) for spec in PLANS[job.kind]
    }
    done = [step for step in steps if step.status == StepState.DONE]
    low = high = None
    if job.is_live and not job.is_queued:
        low, high = _left(steps, ranges)
    whole = sum(pair[1] for pair in ranges.values()) or 1.0
    behind = sum(ranges[step.name][1] for step in done if step.name in ranges)
    percent = 100 if job.state == JobState.DONE else min(99, int(100 * behind / whole))
    return JobProgress(
        node_ref=job.node.ref,
        node_name=job.node.name,
        job_ref=job.ref,
        kind=job.kind,
        state=job.state,
        is_queued=job.is_queued,
        created_at=job.created_at,
        finished_at=job.finished_at,
        steps=tuple(
            StepProgress(
                name=step.name,
                label=label_of(kind=job.kind, name=step.name),
                state=step.status,
                started_at=step.started_at,
                finished_at=step.finished_at,
                detail=_shown(step.detail),
            )
            for step in steps
        ),
        percent=percent,
        eta_low_s=low,
        eta_high_s=high,
        failure_reason=job.failure_reason,
        failure_code=job.failure_code,
        failure_fault=job.failure_fault,
    )


def _shown(detail: dict[str, Any]) -> dict[str, Any]:
    shown = {key: detail[key] for key in _SHOWN_DETAIL if key in detail}
    if isinstance(shown.get("drives"), list):
        shown["drives"] = [{"serial": drive["serial"], "method": drive["method"]} for drive in shown["drives"]]
    return shown


def _left(steps: Sequence[JobStep], ranges: dict[str, tuple[float, float]]) -> tuple[int, int]:
    low = high = 0.0
    now = timezone.now()
    for step in steps:
        if step.status == StepState.DONE or step.name not in ranges:
            continue
        spent = (now - step.started_at).total_seconds() if step.started_at is not None else 0.0
        low += max(0.0, ranges[step.name][0] - spent)
        high += max(1.0, ranges[step.name][1] - spent)
    return round(low), max(round(high), round(low) + 1)


def usual_durations(*, pairs: set[tuple[str, int]]) -> dict[tuple[str, int, str], tuple[float, float]]:
    """(kind, node type, step) -> (25th, 90th percentile) in seconds over the last runs; too few runs give no entry."""
    found: dict[tuple[str, int, str], tuple[float, float]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT kind, node_type_id, name, percentile_cont(ARRAY[0.25, 0.9]) WITHIN GROUP (ORDER BY took)
            FROM (
                SELECT j.kind, n.node_type_id, s.name, extract(epoch FROM s.finished_at - s.started_at) AS took,
                    row_number() OVER (PARTITION BY j.kind, n.node_type_id, s.name ORDER BY s.finished_at DESC) AS place
                FROM provisioning_jobstep s
                JOIN provisioning_job j ON j.id = s.job_id
                JOIN inventory_node n ON n.id = j.node_id
                WHERE s.status = 'done' AND s.started_at IS NOT NULL
                    AND j.kind = ANY(%s) AND n.node_type_id = ANY(%s)
                    AND s.finished_at > now() - interval '90 days'
            ) runs WHERE place <= %s
            GROUP BY kind, node_type_id, name HAVING count(*) >= %s
            """,
            [[kind for kind, _ in pairs], [node_type for _, node_type in pairs], PAST_RUNS, LEAST_PAST_RUNS],
        )
        for kind, node_type_id, name, (low, high) in cursor.fetchall():
            found[kind, node_type_id, name] = (float(low), float(high))
    return found


def connection_facts(*, node: Node) -> ConnectionFacts | None:
    """How to reach the system that was deployed last; None while none has reported."""
    return connection_facts_of(nodes=[node]).get(node.pk)


def connection_facts_of(*, nodes: Sequence[Node]) -> dict[int, ConnectionFacts]:
    """By node pk, for many nodes in one query."""
    boots = (
        BootSession.objects.filter(
            node__in=nodes, purpose=BootSession.Purpose.INSTALLED, reported_at__isnull=False, revoked_at=None
        )
        .select_related("job__image", "node")
        .order_by("pk")
    )
    return {
        boot.node_id: ConnectionFacts(
            address=boot.node.tenant_address,
            port=boot.node.tenant_ssh_port,
            user=boot.job.image.default_user if boot.job.image else "root",
            host_keys=tuple(boot.host_keys),
        )
        for boot in boots
    }


def erase_records(*, reservation_ref: str) -> QuerySet[EraseRecord]:
    return EraseRecord.objects.filter(reservation_ref=reservation_ref).select_related("node")


def health_records(*, reservation_ref: str) -> QuerySet[HealthRecord]:
    return HealthRecord.objects.filter(reservation_ref=reservation_ref).select_related("node")


def open_findings(*, nodes: Sequence[Node]) -> dict[int, list[HealthFinding]]:
    """By node pk, worst first."""
    found: dict[int, list[HealthFinding]] = defaultdict(list)
    for finding in HealthFinding.objects.filter(node__in=nodes, resolved_at=None).order_by("severity", "-since"):
        found[finding.node_id].append(finding)
    return dict(found)


def live_jobs(*, nodes: Sequence[Node]) -> dict[int, Job]:
    """By node pk, the job that has the node in hand."""
    rows = Job.objects.filter(node__in=nodes, state__in=("ready", "leased", "waiting"), is_queued=False)
    return {job.node_id: job for job in rows}


def last_cleaning(*, node: Node) -> Job | None:
    """The newest job that has left the node clean."""
    kinds = (JobKind.CLEAN, JobKind.RELEASE, JobKind.INTAKE)
    return Job.objects.filter(node=node, kind__in=kinds, state=JobState.DONE).order_by("-pk").first()
