"""One worker's turn at one job: lease it, run steps outside any transaction, write each result under the fencing token.

A result of a worker whose lease is gone is dropped: the guarded update finds no row, and the transaction is undone.
"""

import random
import time
from datetime import timedelta
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F
from django.utils import timezone

from common.errors import DomainError
from common.state_machine import fire
from inventory.states import NODE
from provisioning import leases, outcomes, progress
from provisioning.bmc import BmcTurnTaken
from provisioning.errors import LeaseLost, StepFailed, StepTimedOut
from provisioning.jobs import lock_node
from provisioning.models import Job, JobStep
from provisioning.plans import NODE_EVENTS, PLANS, position_of, spec_of
from provisioning.states import StepState
from provisioning.steps.base import Done, StepContext, StepSpec, Wait
from provisioning.wake import wake

log = structlog.get_logger(__name__)

TURN_S = 60.0
"""A worker goes on with the next step until this much time is spent; then others get their turn."""
SHORT_WAIT_S = 10.0
"""Waits up to this long are also set with the broker; the reconciler finds the longer ones in time."""
TURN_WAIT_S = 2.0
"""A turn at a BMC is mostly over long before it expires."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 60.0


class UnexpectedError(StepFailed):
    """A fault of our own code; the log has the whole story, the job only its kind."""

    code = "platform-fault"
    status = 503


def run(*, job_ref: str) -> bool:
    """Work on the job if its turn has come. False when it has not, or another worker has it."""
    lease = leases.take(job_ref=job_ref)
    if lease is None:
        return False
    drop = leases.keeper.hold(lease)
    started = time.monotonic()
    ctx: StepContext | None = None
    try:
        ctx = _context(lease)
        with structlog.contextvars.bound_contextvars(job=job_ref, node=ctx.node.ref):
            while _one_step(ctx):
                if time.monotonic() - started > TURN_S:
                    leases.put_down(lease=lease, wait_s=None)
                    wake(job_ref=job_ref, site_code=ctx.node.site.code)
                    break
    except LeaseLost:
        log.info("lease lost, result dropped", job=job_ref, fence=lease.token)
    finally:
        drop()
        if ctx is not None:
            ctx.close()
    return True


def _context(lease: leases.Lease) -> StepContext:
    job = Job.objects.select_related("image", "node__site", "node__bmc", "node__node_type__gpu_model").get(
        pk=lease.job_id
    )
    steps = {step.position: step for step in JobStep.objects.filter(job=job)}
    return StepContext(job=job, node=job.node, lease=lease, step=steps[job.position], steps=steps)


def _one_step(ctx: StepContext) -> bool:
    """Run the present step once and write down what came of it. True when the next one can be run at once."""
    spec = spec_of(kind=ctx.job.kind, position=ctx.job.position)
    try:
        _begin(ctx, spec)
        if ctx.job.deadline_at is not None and timezone.now() >= ctx.job.deadline_at:
            raise StepTimedOut(f"“{spec.label}” was not done within {spec.deadline_s} s", step=spec.name)
        result = spec.run(ctx)
        if isinstance(result, Done):
            return _advance(ctx, result)
    except (LeaseLost, OperationalError, InterfaceError):
        raise  # a database that is away decides nothing about the node: the lease runs out and the job goes on
    except BmcTurnTaken as taken:
        # Nothing was tried, so nothing failed; the step's deadline bounds the waiting.
        ctx.close()
        return _wait(ctx, Wait(seconds=min(taken.free_in_s, TURN_WAIT_S) + 0.1))
    except DomainError as error:
        return _failed(ctx, spec, error)
    except Exception as error:
        log.exception("step broke", step=spec.name)
        return _failed(ctx, spec, UnexpectedError(f"{type(error).__name__} in step {spec.name}"))
    return _wait(ctx, result)


def _guarded(ctx: StepContext, **values: Any) -> None:
    """Change the job if it is still ours; else nothing of this transaction counts."""
    changed = Job.objects.filter(pk=ctx.job.pk, fencing_token=ctx.lease.token, state="leased").update(**values)
    if not changed:
        raise LeaseLost


def _begin(ctx: StepContext, spec: StepSpec) -> None:
    """Start the clock of a step that has none running; later runs of the same step find it running."""
    if ctx.step.status == StepState.RUNNING and ctx.job.deadline_at is not None:
        return
    with transaction.atomic():
        _guarded(ctx, **_start_clock(ctx, ctx.step, spec))
        progress.notify(ctx.job.reservation_ref)


def _start_clock(ctx: StepContext, step: JobStep, spec: StepSpec) -> dict[str, Any]:
    """The step is running from now on; what of it is the job's is returned for the guarded update."""
    now = timezone.now()
    step.status, step.started_at = StepState.RUNNING, now
    ctx.job.deadline_at = now + timedelta(seconds=spec.deadline_s)
    JobStep.objects.filter(pk=step.pk).update(status=step.status, started_at=now, finished_at=None)
    return {"deadline_at": ctx.job.deadline_at}


def _advance(ctx: StepContext, result: Done) -> bool:
    """Record the step, what follows from it, and begin the next or end the job: all of it or nothing."""
    job, step = ctx.job, ctx.step
    event = NODE_EVENTS.get((job.kind, step.name))
    is_last = job.position + 1 == len(PLANS[job.kind])
    following = None if is_last else ctx.steps[job.position + 1]
    detail = {**step.detail, **result.detail}
    with transaction.atomic():
        node = lock_node(ctx.node.pk) if event or is_last or result.apply else ctx.node
        if following is None:
            _guarded(ctx, deadline_at=None)
        else:
            clock = _start_clock(ctx, following, spec_of(kind=job.kind, position=following.position))
            _guarded(ctx, position=following.position, **clock)
        JobStep.objects.filter(pk=step.pk).update(status=StepState.DONE, finished_at=timezone.now(), detail=detail)
        if result.apply is not None:
            result.apply()
        if event:
            fire(machine=NODE, subject=node, event=event, actor=outcomes.ACTOR, details={"job": job.ref})
        if is_last:
            outcomes.succeed(job=job, node=node)
        progress.notify(job.reservation_ref)
    step.status, step.detail = StepState.DONE, detail
    if following is None:
        return False
    job.position = following.position
    ctx.step = following
    return True


def _wait(ctx: StepContext, result: Wait) -> bool:
    """Give the job back until its time, or until news; news that is already there is looked at now."""
    if result.detail:
        ctx.note(**result.detail)
    is_due = leases.put_down(lease=ctx.lease, wait_s=result.seconds, until_deadline=result.seconds is None)
    if is_due:
        wake(job_ref=ctx.job.ref, site_code=ctx.node.site.code)
    elif result.seconds is not None and result.seconds <= SHORT_WAIT_S:
        wake(job_ref=ctx.job.ref, site_code=ctx.node.site.code, in_s=result.seconds)
    return False


def _failed(ctx: StepContext, spec: StepSpec, error: DomainError) -> bool:
    """Try again what can heal, within the step's attempts; else the job ends with the error's words."""
    ctx.close()
    job, step = ctx.job, ctx.step
    attempts = step.attempts + 1
    log.warning("step failed", step=spec.name, code=error.code, attempt=attempts, reason=error.message[:300])
    note = {"code": error.code, "reason": error.message[:500], "fault": str(error.fault)}
    if error.retryable and attempts < spec.attempts:
        back_to = position_of(kind=job.kind, name=spec.rewind_to) if spec.rewind_to else job.position
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (attempts - 1)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        with transaction.atomic():
            _guarded(ctx, position=back_to, attempts=F("attempts") + 1, deadline_at=None)
            JobStep.objects.filter(pk=step.pk).update(attempts=attempts, detail={**step.detail, "last_failure": note})
            if spec.rewind_to:
                # Those in between begin anew: what they remember belongs to the boot that failed.
                again = JobStep.objects.filter(job=job, position__gte=back_to, position__lte=step.position)
                again.update(status=StepState.PENDING, started_at=None, finished_at=None, detail={})
            leases.put_down(lease=ctx.lease, wait_s=pause_s)
            progress.notify(job.reservation_ref)
        if pause_s <= SHORT_WAIT_S:
            wake(job_ref=job.ref, site_code=ctx.node.site.code, in_s=pause_s)
        return False
    with transaction.atomic():
        node = lock_node(ctx.node.pk)
        _guarded(ctx, attempts=F("attempts") + 1)
        JobStep.objects.filter(pk=step.pk).update(
            status=StepState.FAILED,
            attempts=attempts,
            finished_at=timezone.now(),
            detail={**step.detail, "failure": note},
        )
        outcomes.fail(job=job, node=node, error=error)
    return False
