"""What follows for the node when a job ends well or badly. Everything here runs inside the caller's transaction.

The caller holds the node's row lock, then the job's: the one order in this room.
"""

from typing import Any

from django.db.models import F
from django.db.models.functions import Now

from common import outbox
from common.actors import Actor, system_actor
from common.errors import DomainError, Fault
from common.state_machine import Transition, fire
from inventory.models import Node
from inventory.states import NODE, NodeEvent
from provisioning import boots, progress
from provisioning.errors import EvidenceIncomplete, HealthGateClosed
from provisioning.jobs import create_job, promote_next
from provisioning.models import EraseRecord, HealthFinding, HealthRecord, Job
from provisioning.states import JOB, JobEvent, JobKind

ACTOR = system_actor(name="provisioning")


def succeed(*, job: Job, node: Node) -> None:
    """The last step is done."""
    kind = job.kind
    if kind == JobKind.DEPLOY:
        _deployed(job, node)
    elif kind == JobKind.POWER:
        transition = end(job=job, event=JobEvent.FINISH)
        power = job.steps.values_list("detail", flat=True).get(name="power").get("power", "on")
        payload = {"node_id": node.pk, "reservation_ref": job.reservation_ref, "power": power}
        outbox.publish(kind="node.power_changed", aggregate=node.ref, payload=payload, occurred_at=transition.at)
    else:
        _cleaned(job, node)


def _deployed(job: Job, node: Node) -> None:
    transition = fire(
        machine=NODE, subject=node, event=NodeEvent.DEPLOYED, actor=ACTOR, details={"reservation": job.reservation_ref}
    )
    end(job=job, event=JobEvent.FINISH)
    # The one-time key opens nothing any more and the user data is on the node's own disk: neither is kept here.
    Job.objects.filter(pk=job.pk).update(private_key_sealed=None, user_data_sealed=None)
    payload = {"node_id": node.pk, "reservation_ref": job.reservation_ref}
    outbox.publish(kind="node.deployed", aggregate=node.ref, payload=payload, occurred_at=transition.at)


def _cleaned(job: Job, node: Node) -> None:
    require_evidence(job=job, node=node)
    details = {"reservation": job.reservation_ref, "job": job.ref}
    transition = fire(machine=NODE, subject=node, event=NodeEvent.CLEANED, actor=ACTOR, details=details)
    end(job=job, event=JobEvent.FINISH)
    boots.revoke_boots(node=node)
    node.holder = None
    node.state_reason = ""
    Node.objects.filter(pk=node.pk).update(holder=None, state_reason="")
    payload = {"node_id": node.pk, "reservation_ref": job.reservation_ref}
    outbox.publish(kind="node.cleaned", aggregate=node.ref, payload=payload, occurred_at=transition.at)
    promote_next(node=node)


def require_evidence(*, job: Job, node: Node) -> None:
    """Invariant I2, the one gate into ``available``: every drive erased and read back, health passed, nothing barring.

    Raises EvidenceIncomplete or HealthGateClosed.
    """
    erased = set(EraseRecord.objects.filter(job=job, node=node).values_list("drive_serial", flat=True))
    enrolled = {drive["serial"] for drive in node.hardware_bill.get("drives", [])}
    if not erased or enrolled - erased:
        missing = sorted(enrolled - erased)
        raise EvidenceIncomplete(f"no erase record for {', '.join(missing) or 'any drive'}", missing=missing)
    newest = HealthRecord.objects.filter(job=job, node=node, phase=HealthRecord.Phase.CLEANING).order_by("-pk").first()
    if newest is None or not newest.passed:
        raise EvidenceIncomplete("the health check of this cleaning has not passed")
    barring = list(
        HealthFinding.objects.filter(node=node, resolved_at=None, bars_allocation=True).values_list("kind", flat=True)
    )
    if barring:
        raise HealthGateClosed(f"open findings bar the node: {', '.join(sorted(barring))}", findings=barring)


def fail(*, job: Job, node: Node, error: DomainError, actor: Actor = ACTOR) -> None:
    """The job has failed for good: keep why, and leave the node in a state with a way out."""
    event = JobEvent.FAIL if actor is ACTOR else JobEvent.CANCEL
    reason = f"{error.message}" + (f" ({error.hint})" if error.hint else "")
    Job.objects.filter(pk=job.pk).update(
        failure_code=error.code, failure_reason=reason[:2000], failure_fault=str(error.fault)
    )
    details = {"code": error.code, "reason": error.message[:500], "fault": str(error.fault)}
    if error.context.get("certificate_changed"):
        _alarm_about_bmc(node, error)
    end(job=job, event=event, actor=actor, details=details)
    if job.kind == JobKind.DEPLOY:
        _deployment_failed(job, node, error, actor)
    elif job.kind != JobKind.POWER:
        quarantine(job=job, node=node, reason=error.message, fault=error.fault, code=error.code, actor=actor)


def _alarm_about_bmc(node: Node, error: DomainError) -> None:
    """Somebody else may answer for the BMC: the node stays out of sale until an intake has trusted it anew."""
    HealthFinding.objects.update_or_create(
        node=node,
        kind=HealthFinding.Kind.BMC,
        part="certificate",
        resolved_at=None,
        defaults={
            "severity": HealthFinding.Severity.CRITICAL,
            "bars_allocation": True,
            "evidence": {"reason": error.message[:300]},
            "last_seen_at": Now(),
        },
    )


def _deployment_failed(job: Job, node: Node, error: DomainError, actor: Actor) -> None:
    """The node goes to cleaning by itself: what was written on it may be a tenant's."""
    details = {"reservation": job.reservation_ref, "reason": error.message[:500]}
    transition = fire(machine=NODE, subject=node, event=NodeEvent.RELEASE, actor=actor, details=details)
    Job.objects.filter(pk=job.pk).update(private_key_sealed=None, user_data_sealed=None)
    payload = {
        "node_id": node.pk,
        "reservation_ref": job.reservation_ref,
        "reason": error.message[:500],
        "code": error.code,
        "fault": str(error.fault),
    }
    outbox.publish(kind="node.deployment_failed", aggregate=node.ref, payload=payload, occurred_at=transition.at)
    create_job(
        kind=JobKind.RELEASE, node=node, tenant_id=job.tenant_id, reservation_ref=job.reservation_ref, actor=actor
    )


def quarantine(*, job: Job | None, node: Node, reason: str, fault: Fault, code: str, actor: Actor) -> None:
    """Out of sale with a typed cause. The holder stays until an erase is complete: their data may still be there."""
    reservation_ref = "" if job is None else job.reservation_ref
    details = {"reason": reason[:500], "code": code, "fault": str(fault), "reservation": reservation_ref}
    transition = fire(machine=NODE, subject=node, event=NodeEvent.QUARANTINE, actor=actor, details=details)
    boots.revoke_boots(node=node)
    node.state_reason = f"{code}: {reason}"[:2000]
    Node.objects.filter(pk=node.pk).update(state_reason=node.state_reason)
    payload = {
        "node_id": node.pk,
        "reservation_ref": reservation_ref,
        "reason": reason[:500],
        "code": code,
        "fault": str(fault),
    }
    outbox.publish(kind="node.quarantined", aggregate=node.ref, payload=payload, occurred_at=transition.at)


def end(*, job: Job, event: str, actor: Actor = ACTOR, details: dict[str, Any] | None = None) -> Transition:
    """The job's own end, and nothing else."""
    transition = fire(machine=JOB, subject=job, event=event, actor=actor, details={**job.facts(), **(details or {})})
    # The token grows once more: whoever still works on this job finds out at the next look.
    Job.objects.filter(pk=job.pk).update(
        lease_owner="",
        lease_expires_at=None,
        deadline_at=None,
        finished_at=Now(),
        fencing_token=F("fencing_token") + 1,
        image_token_sha256="",
    )
    progress.notify(job.reservation_ref)
    return transition
