"""What others may ask of provisioning. Each call writes rows in the caller's transaction and opens no connection.

Lock order inside: the node's row, then its jobs. The work itself is done by workers, after commit.
"""

from collections.abc import Sequence

from django.db import transaction
from django.db.models.functions import Now

from common import outbox, vault
from common.actors import Actor
from common.clock import database_now
from common.errors import DomainError, Fault, InvalidRequest
from common.state_machine import fire
from compliance.audit import services as audit
from inventory.models import BmcEndpoint, Image, Node
from inventory.states import NODE, NodeEvent, NodeState
from provisioning import nocloud, outcomes
from provisioning.errors import JobConflict, StepFailed
from provisioning.jobs import begin_deployment, create_job, live_job, lock_node
from provisioning.models import PRIVATE_KEY, USER_DATA, Job, JobStep
from provisioning.ssh import new_key_pair
from provisioning.states import JOB, LIVE, JobEvent, JobKind, JobState, StepState
from provisioning.wake import wake_after_commit

POWER_ACTIONS = ("on", "off", "cycle", "reset")


class Cancelled(StepFailed):
    """Somebody ended the job before it was done."""

    code = "cancelled"
    fault = Fault.OPERATOR


@transaction.atomic
def request_deployment(
    *,
    node: Node,
    tenant_id: int,
    reservation_ref: str,
    image: Image,
    hostname: str,
    ssh_public_keys: Sequence[str],
    user_data: str,
    actor: Actor,
) -> Job:
    """Put an image on the node for a tenant. Asking again for the same reservation returns the same job.

    Begins now when the node is available and free; else the job is queued and begins when the node has become clean.
    Raises InvalidRequest for user data that cannot be used.
    """
    nocloud.check_user_data(user_data)
    if not ssh_public_keys:
        raise InvalidRequest("a deployment needs at least one SSH key", field="ssh_public_keys")
    locked = lock_node(node.pk)
    jobs = list(Job.objects.filter(node=locked, state__in=LIVE).order_by("pk"))
    for present in jobs:
        if present.kind == JobKind.DEPLOY and present.reservation_ref == reservation_ref:
            return present
    private, public = new_key_pair(comment="chapek-deployment")
    begins = locked.state == NodeState.AVAILABLE and all(job.is_queued for job in jobs)
    job = create_job(
        kind=JobKind.DEPLOY,
        node=locked,
        tenant_id=tenant_id,
        reservation_ref=reservation_ref,
        actor=actor,
        is_queued=not begins,
        image=image,
        parameters={"hostname": hostname, "ssh_public_keys": list(ssh_public_keys), "deployment_key": public},
        user_data_sealed=vault.seal(user_data, context=USER_DATA) if user_data else None,
        private_key_sealed=vault.seal(private, context=PRIVATE_KEY),
    )
    if begins:
        begin_deployment(job=job, node=locked, actor=actor)
    _mirror(node, locked)
    return job


@transaction.atomic
def request_release(*, node: Node, reservation_ref: str, actor: Actor, reason: str) -> Job:
    """Take the node back from a reservation: whatever runs for it is cancelled, then power off, erase, health.

    Asking again returns the release that is under way or done. A deployment that has not begun is only cancelled, and
    `node.cleaned` is published at once. Raises JobConflict when the node never served this reservation.
    """
    locked = lock_node(node.pk)
    queued = Job.objects.filter(
        node=locked, reservation_ref=reservation_ref, kind=JobKind.DEPLOY, state__in=LIVE, is_queued=True
    ).first()
    if queued is not None:
        _cancel(queued, actor=actor, reason=reason)
        payload = {"node_id": locked.pk, "reservation_ref": reservation_ref, "untouched": True}
        outbox.publish(kind="node.cleaned", aggregate=locked.ref, payload=payload, occurred_at=database_now())
        return queued
    latest = Job.objects.filter(node=locked, reservation_ref=reservation_ref).order_by("-pk").first()
    if latest is None:
        raise JobConflict(f"node {locked.name} never served this reservation", node=locked.ref)
    if serves(locked) != reservation_ref or (locked.state, NodeEvent.RELEASE) not in NODE.table:
        # Clean again or serving another; in cleaning already after a failed deployment; or quarantined.
        return latest
    running = live_job(locked)
    if running is not None:
        _cancel(running, actor=actor, reason=reason)
    details = {"reservation": reservation_ref, "reason": reason[:500]}
    fire(machine=NODE, subject=locked, event=NodeEvent.RELEASE, actor=actor, details=details)
    job = create_job(
        kind=JobKind.RELEASE, node=locked, tenant_id=locked.holder_id, reservation_ref=reservation_ref, actor=actor
    )
    _mirror(node, locked)
    return job


@transaction.atomic
def request_power(*, node: Node, action: str, reservation_ref: str, actor: Actor) -> Job:
    """Power ``on``, ``off`` (through the operating system, hard after 45 s), ``cycle`` or ``reset`` an active node.

    Raises JobConflict when the node is not in this reservation's hands or another action is under way.
    """
    if action not in POWER_ACTIONS:
        raise InvalidRequest(f"{action} is not one of {', '.join(POWER_ACTIONS)}", field="action")
    locked = lock_node(node.pk)
    _require_served(locked, reservation_ref)
    running = live_job(locked)
    if running is not None:
        same = running.kind == JobKind.POWER and running.parameters.get("action") == action
        if same:
            return running
        raise JobConflict("another action on this node is under way", hint="wait until it is done", job=running.ref)
    if locked.state != NodeState.ACTIVE:
        raise JobConflict(f"node {locked.name} is {locked.state}, not active", state=locked.state)
    return create_job(
        kind=JobKind.POWER,
        node=locked,
        tenant_id=locked.holder_id,
        reservation_ref=reservation_ref,
        actor=actor,
        parameters={"action": action},
    )


@transaction.atomic
def request_intake(*, node: Node, actor: Actor) -> Job:
    """Verify, inspect and clean an enrolled, maintained or quarantined node; it ends available or quarantined."""
    locked = lock_node(node.pk)
    running = live_job(locked)
    if running is not None and running.kind == JobKind.INTAKE:
        return running
    _require_free(running)
    fire(machine=NODE, subject=locked, event=NodeEvent.VERIFY, actor=actor)
    job = create_job(kind=JobKind.INTAKE, node=locked, tenant_id=locked.holder_id, actor=actor)
    _mirror(node, locked)
    return job


@transaction.atomic
def request_cleaning(*, node: Node, actor: Actor, reason: str = "") -> Job:
    """Clean again a node that is available, in maintenance or quarantined."""
    locked = lock_node(node.pk)
    running = live_job(locked)
    if running is not None and running.kind in {JobKind.CLEAN, JobKind.RELEASE}:
        return running
    _require_free(running)
    fire(machine=NODE, subject=locked, event=NodeEvent.CLEAN, actor=actor, details={"reason": reason[:500]})
    # Disks that a tenant's release could not erase are that reservation's still: so is the evidence.
    reservation_ref = serves(locked) if locked.holder_id is not None else ""
    job = create_job(
        kind=JobKind.CLEAN, node=locked, tenant_id=locked.holder_id, reservation_ref=reservation_ref, actor=actor
    )
    _mirror(node, locked)
    return job


@transaction.atomic
def quarantine(*, node: Node, actor: Actor, reason: str) -> Node:
    """Take a node that no tenant uses out of sale, on the operator's word. What runs on it is cancelled.

    A deployment under way fails (its reservation hears of it) and the node waits, uncleaned, for the operator.
    """
    locked = lock_node(node.pk)
    running = live_job(locked)
    if running is not None:
        _cancel(running, actor=actor, reason=reason)
    outcomes.quarantine(
        job=running, node=locked, reason=reason, fault=Fault.OPERATOR, code="operator-quarantine", actor=actor
    )
    if running is not None and running.kind == JobKind.DEPLOY:
        payload = {
            "node_id": locked.pk,
            "reservation_ref": running.reservation_ref,
            "reason": reason[:500],
            "code": "operator-quarantine",
            "fault": str(Fault.OPERATOR),
        }
        outbox.publish(
            kind="node.deployment_failed", aggregate=locked.ref, payload=payload, occurred_at=locked.state_changed_at
        )
    _mirror(node, locked)
    return node


@transaction.atomic
def maintain(*, node: Node, actor: Actor, reason: str) -> Node:
    """Take an enrolled, available or quarantined node out for maintenance. Raises JobConflict while a job has it."""
    locked = lock_node(node.pk)
    _require_free(live_job(locked))
    fire(machine=NODE, subject=locked, event=NodeEvent.MAINTAIN, actor=actor, details={"reason": reason[:500]})
    locked.state_reason = reason[:2000]
    Node.objects.filter(pk=locked.pk).update(state_reason=locked.state_reason)
    _mirror(node, locked)
    return node


@transaction.atomic
def retire(*, node: Node, actor: Actor, reason: str) -> Node:
    """Take an enrolled, maintained or quarantined node out of the fleet for good. Its papers and evidence stay.

    The event says whether the drives still hold what a tenant left (``erased``), and is written to that tenant's log
    then. Raises JobConflict while a job has the node or a deployment waits for it.
    """
    locked = lock_node(node.pk)
    _require_free(Job.objects.filter(node=locked, state__in=LIVE).first())
    details = {"reason": reason[:500], "erased": locked.holder_id is None}
    fire(machine=NODE, subject=locked, event=NodeEvent.RETIRE, actor=actor, details=details)
    locked.state_reason = reason[:2000]
    Node.objects.filter(pk=locked.pk).update(state_reason=locked.state_reason)
    _mirror(node, locked)
    return node


@transaction.atomic
def trust_bmc_anew(*, node: Node, actor: Actor, reason: str) -> None:
    """Forget the BMC's pinned certificate, after it was replaced: the next intake pins what it sees then.

    Only for a node in maintenance or quarantined. Raises JobConflict otherwise.
    """
    locked = lock_node(node.pk)
    _require_free(live_job(locked))
    if locked.state not in {NodeState.MAINTENANCE, NodeState.QUARANTINED}:
        raise JobConflict(f"node {locked.name} is {locked.state}", hint="put it into maintenance first")
    BmcEndpoint.objects.filter(node=locked).update(certificate_sha256="")
    audit.record(
        log_tenant_id=locked.holder_id,
        kind="bmc.certificate_forgotten",
        subject_ref=locked.ref,
        actor=actor,
        details={"reason": reason[:500], "was": locked.bmc.certificate_sha256},
        at=database_now(),
    )


@transaction.atomic
def cancel_job(*, job: Job, actor: Actor, reason: str) -> Job:
    """End a live job. A deployment fails and its node is cleaned; intake and cleaning leave the node quarantined."""
    locked = lock_node(job.node_id)
    fresh = Job.objects.select_for_update(of=("self",), no_key=True).select_related("node").get(pk=job.pk)
    if not fresh.is_live:
        raise JobConflict(f"the job is {fresh.state} already", state=fresh.state)
    if fresh.is_queued:
        _cancel(fresh, actor=actor, reason=reason)
        payload = {
            "node_id": locked.pk,
            "reservation_ref": fresh.reservation_ref,
            "reason": reason[:500],
            "code": Cancelled.code,
            "fault": str(Fault.OPERATOR),
        }
        outbox.publish(kind="node.deployment_failed", aggregate=locked.ref, payload=payload, occurred_at=database_now())
    else:
        outcomes.fail(job=fresh, node=locked, error=Cancelled(reason or "cancelled"), actor=actor)
    return fresh


@transaction.atomic
def retry_job(*, job: Job, actor: Actor) -> Job:
    """Run a failed intake, cleaning or release again from its first step. The node must still be where it left it.

    A failed deployment is not retried: its node was given to cleaning; the reservation asks for a new one.
    """
    locked = lock_node(job.node_id)
    fresh = Job.objects.select_for_update(of=("self",), no_key=True).select_related("node").get(pk=job.pk)
    if fresh.kind in {JobKind.DEPLOY, JobKind.POWER}:
        raise JobConflict(
            "this kind of job is not retried", hint="ask for it again: its node may serve someone else by now"
        )
    _require_free(live_job(locked))
    fire(machine=JOB, subject=fresh, event=JobEvent.RETRY, actor=actor, details=fresh.facts())
    event = NodeEvent.VERIFY if fresh.kind == JobKind.INTAKE else NodeEvent.CLEAN
    fire(machine=NODE, subject=locked, event=event, actor=actor, details={"job": fresh.ref})
    Job.objects.filter(pk=fresh.pk).update(
        position=0,
        attempts=0,
        deadline_at=None,
        run_at=Now(),
        failure_code="",
        failure_reason="",
        failure_fault="",
        finished_at=None,
    )
    JobStep.objects.filter(job=fresh).update(
        status=StepState.PENDING, started_at=None, finished_at=None, attempts=0, detail={}
    )
    wake_after_commit(job_ref=fresh.ref, site_code=locked.site.code)
    fresh.refresh_from_db()
    return fresh


def serves(node: Node) -> str:
    """The reservation that the node is held for now; empty when it is held for none.

    It is the one of the newest deployment that began, until a cleaning has finished after it.
    """
    newest = (
        Job.objects.filter(node=node, is_queued=False)
        .exclude(kind=JobKind.POWER)
        .order_by("-pk")
        .values_list("kind", "state", "reservation_ref")
        .first()
    )
    if newest is None or (newest[0] != JobKind.DEPLOY and newest[1] == JobState.DONE):
        return ""
    return newest[2]


def _require_served(node: Node, reservation_ref: str) -> None:
    if not reservation_ref or serves(node) != reservation_ref:
        raise JobConflict(f"node {node.name} does not serve this reservation", node=node.ref)


def _require_free(running: Job | None) -> None:
    if running is not None:
        raise JobConflict(f"a {running.kind} job has the node", hint="wait for it, or cancel it first", job=running.ref)


def _cancel(job: Job, *, actor: Actor, reason: str) -> None:
    """End the job alone; what follows for the node is the caller's business. Its worker finds its token outdated."""
    error: DomainError = Cancelled(reason or "cancelled")
    Job.objects.filter(pk=job.pk).update(
        failure_code=error.code, failure_reason=error.message[:2000], failure_fault=str(error.fault)
    )
    outcomes.end(job=job, event=JobEvent.CANCEL, actor=actor, details={"reason": error.message[:500]})
    if job.kind == JobKind.DEPLOY:
        Job.objects.filter(pk=job.pk).update(private_key_sealed=None, user_data_sealed=None, is_queued=False)


def _mirror(node: Node, locked: Node) -> None:
    """The caller's instance learns what the locked one has become."""
    for name in ("state", "state_changed_at", "state_reason", "holder_id"):
        setattr(node, name, getattr(locked, name))
