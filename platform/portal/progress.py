"""What provisioning is doing for a reservation, in words: each node's job, its steps, and how long it may take."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provisioning import selectors as provisioning
from provisioning.selectors import JobProgress, StepProgress
from provisioning.states import LIVE as LIVE_JOBS
from provisioning.states import JobKind, StepState
from reservations.models import Reservation
from reservations.states import ReservationState

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
