"""One reservation as its page shows it: jobs in words, nodes, how to connect, certificates."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.periods import Period
from provisioning import selectors as provisioning
from provisioning.models import HealthRecord
from provisioning.selectors import ConnectionFacts, JobProgress, StepProgress
from provisioning.states import LIVE as LIVE_JOBS
from provisioning.states import JobKind, StepState
from reservations import selectors
from reservations.models import Allocation, Reservation
from reservations.states import ReservationState

# States in which the nodes are the tenant's: their own state and address mean something to it.
HELD = frozenset(
    {ReservationState.DEPLOYING, ReservationState.ACTIVE, ReservationState.SUSPENDED, ReservationState.ENDING}
)
# A power action that is over stays in sight this long.
POWER_SHOWN_FOR = timedelta(seconds=60)
# An ETA of two minutes and more is told in minutes: it is no more exact than that.
MINUTES_FROM_S = 120

TITLES: dict[str, str | Promise] = {
    JobKind.DEPLOY: gettext_lazy("Deploying %(node)s"),
    JobKind.RELEASE: gettext_lazy("Erasing %(node)s"),
    JobKind.POWER: gettext_lazy("Switching %(node)s"),
}
STEP_WORDS: dict[str, str | Promise] = {
    StepState.PENDING: gettext_lazy("not begun"),
    StepState.RUNNING: gettext_lazy("under way"),
    StepState.DONE: gettext_lazy("done"),
    StepState.FAILED: gettext_lazy("failed"),
}


@dataclass(frozen=True, kw_only=True)
class StepRow:
    """``seconds`` is what the step took, None while it has not ended."""

    label: str
    state: str
    word: str
    seconds: int | None
    note: str


@dataclass(frozen=True, kw_only=True)
class JobRow:
    title: str
    state: str
    is_live: bool
    percent: int
    eta: str
    failure: str
    steps: tuple[StepRow, ...]

    @property
    def now(self) -> str:
        """The step that is under way, or where it stands."""
        for step in self.steps:
            if step.state in {StepState.RUNNING, StepState.FAILED}:
                return _("%(step)s: %(state)s") % {"step": step.label, "state": step.word}
        done = sum(step.state == StepState.DONE for step in self.steps)
        return _("%(done)d of %(all)d steps done") % {"done": done, "all": len(self.steps)}


@dataclass(frozen=True, kw_only=True)
class NodeRow:
    """``state`` and ``address`` are empty once the node is somebody else's again."""

    name: str
    ref: str
    state: str
    address: str
    deployed_at: datetime | None
    cleaned_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Connection:
    """What to paste into a shell to reach one node; ``number`` tells the blocks of a page apart."""

    node: str
    number: int
    known_hosts_line: str
    ssh_command: str

    @property
    def ssh_id(self) -> str:
        return f"ssh-{self.number}"

    @property
    def hosts_id(self) -> str:
        return f"known-hosts-{self.number}"

    @property
    def known_hosts_command(self) -> str:
        return f"echo '{self.known_hosts_line}' >> ~/.ssh/known_hosts"


@dataclass(frozen=True, kw_only=True)
class Certificate:
    what: str
    ref: str
    node: str
    result: str
    how: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """The nodes of a reservation and how to reach those that are up."""

    nodes: list[NodeRow] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)


def jobs(*, reservation: Reservation, at: datetime) -> list[JobRow]:
    """What is going on now: of each node the newest job that matters; three queries at most."""
    newest: dict[tuple[str, bool], JobProgress] = {}
    for job in provisioning.progress_of(reservation_ref=reservation.ref):
        newest[job.node_ref, job.kind == JobKind.POWER] = job
    return [_job_row(job, at=at) for job in newest.values() if _matters(job, reservation=reservation, at=at)]


def _matters(job: JobProgress, *, reservation: Reservation, at: datetime) -> bool:
    if job.state in LIVE_JOBS:
        return True
    if job.kind == JobKind.POWER:
        is_fresh = job.finished_at is not None and at - job.finished_at < POWER_SHOWN_FOR
        return is_fresh and reservation.state == ReservationState.ACTIVE
    moving = {ReservationState.DEPLOYING: JobKind.DEPLOY, ReservationState.ENDING: JobKind.RELEASE}
    if moving.get(ReservationState(reservation.state)) == job.kind:
        return True
    return reservation.state == ReservationState.FAILED and job.kind == JobKind.DEPLOY


def _job_row(job: JobProgress, *, at: datetime) -> JobRow:
    title = str(TITLES.get(job.kind, job.kind)) % {"node": job.node_name}
    return JobRow(
        title=title,
        state=job.state,
        is_live=job.state in LIVE_JOBS,
        percent=job.percent,
        eta=_eta(job),
        failure=job.failure_reason,
        steps=tuple(_step_row(step, at=at) for step in job.steps),
    )


def _eta(job: JobProgress) -> str:
    if job.is_queued:
        return _("waits until the node is clean")
    if job.eta_high_s is None:
        return ""
    low_s, high_s = job.eta_low_s or 0, job.eta_high_s
    if high_s >= MINUTES_FROM_S:
        return _("%(low)d to %(high)d min left") % {"low": low_s // 60, "high": -(-high_s // 60)}
    return _("%(low)d to %(high)d s left") % {"low": low_s, "high": high_s}


def _step_row(step: StepProgress, *, at: datetime) -> StepRow:
    seconds = None
    if step.started_at is not None and step.state != StepState.PENDING:
        seconds = max(0, int(((step.finished_at or at) - step.started_at).total_seconds()))
    return StepRow(
        label=str(step.label),
        state=step.state,
        word=str(STEP_WORDS.get(step.state, step.state)),
        seconds=seconds,
        note=_note(step.detail),
    )


def _note(detail: dict[str, Any]) -> str:
    parts = []
    if "image" in detail:
        parts.append(str(detail["image"]))
    if "gpus" in detail and isinstance(detail["gpus"], int):
        parts.append(_("%(n)d GPUs healthy") % {"n": detail["gpus"]})
    if isinstance(detail.get("drives"), list):
        parts.append(_("%(n)d drives") % {"n": len(detail["drives"])})
    if isinstance(detail.get("samples"), int):
        parts.append(_("%(n)d samples read back") % {"n": detail["samples"]})
    if "last_failure" in detail:
        parts.append(_("tried again after: %(why)s") % {"why": detail["last_failure"]})
    return ", ".join(parts)


def hardware(*, reservation: Reservation) -> Hardware:
    """Nodes and connections in two queries. A node that is no longer held shows nothing of its present life."""
    allocations = selectors.allocations_of(reservations=[reservation])[reservation.pk]
    held = [row for row in allocations if is_held(row, reservation=reservation)]
    facts: dict[int, ConnectionFacts] = {}
    if held and reservation.state == ReservationState.ACTIVE:
        facts = provisioning.connection_facts_of(nodes=[row.node for row in held])
    rows = [
        NodeRow(
            name=row.node.name,
            ref=row.node.ref,
            state=row.node.state if row in held else "",
            address=_address(row) if row in held else "",
            deployed_at=row.deployed_at,
            cleaned_at=row.cleaned_at,
        )
        for row in allocations
    ]
    return Hardware(
        nodes=rows,
        connections=[
            _connection(row, facts[row.node_id], number=number)
            for number, row in enumerate(held, start=1)
            if row.node_id in facts
        ],
    )


def is_held(row: Allocation, *, reservation: Reservation) -> bool:
    """Whether the node is in this tenant's hands now, up to the end of its final erase."""
    return reservation.state in HELD and row.is_live and row.cleaned_at is None


def _address(row: Allocation) -> str:
    node = row.node
    return node.tenant_address if node.tenant_ssh_port == 22 else f"{node.tenant_address}:{node.tenant_ssh_port}"


def _connection(row: Allocation, facts: ConnectionFacts, *, number: int) -> Connection:
    standard = facts.port == 22
    host = facts.address if standard else f"[{facts.address}]:{facts.port}"
    port = "" if standard else f" -p {facts.port}"
    key = facts.host_keys[0] if facts.host_keys else ""
    return Connection(
        node=row.node.name,
        number=number,
        known_hosts_line=f"{host} {' '.join(key.split()[:2])}",
        ssh_command=f"ssh -o StrictHostKeyChecking=yes{port} {facts.user}@{facts.address}",
    )


def certificates(*, reservation: Reservation) -> list[Certificate]:
    """Erase and health records of this reservation, newest first; two queries."""
    found = [
        Certificate(
            what=_("Drive %(serial)s erased") % {"serial": record.drive_serial},
            ref=record.ref,
            node=record.node.name,
            result="passed",
            how=_("%(method)s, %(n)d samples read back")
            % {"method": record.get_method_display(), "n": record.samples_checked},
            at=record.finished_at,
        )
        for record in provisioning.erase_records(reservation_ref=reservation.ref)
    ]
    found += [
        Certificate(
            what=_health_title(record),
            ref=record.ref,
            node=record.node.name,
            result="passed" if record.passed else "failed",
            how=_("%(n)d of %(model)s") % {"n": record.gpu_count, "model": record.gpu_model},
            at=record.checked_at,
        )
        for record in provisioning.health_records(reservation_ref=reservation.ref)
    ]
    return sorted(found, key=lambda item: (item.at, item.ref), reverse=True)


def _health_title(record: HealthRecord) -> str:
    return _("Health at hand-over") if record.phase == HealthRecord.Phase.HANDOVER else _("Health after the erase")


def metered_s(*, reservation: Reservation, at: datetime) -> int:
    """Seconds from hand-over to release, or until now."""
    if reservation.active_at is None:
        return 0
    end = reservation.released_at or at
    return Period(start_at=reservation.active_at, end_at=end).seconds or 0 if end > reservation.active_at else 0
