"""Bringing jobs into being. Inside the caller's transaction, with the node's row locked."""

from typing import Any

from django.db.models.functions import Now

from common.actors import Actor, system_actor
from common.state_machine import born, fire
from inventory.models import Node
from inventory.states import NODE, NodeEvent, NodeState
from provisioning import progress
from provisioning.models import Job, JobStep
from provisioning.plans import PLANS
from provisioning.states import JOB, JobKind, JobState
from provisioning.wake import wake_after_commit


def lock_node(pk: int) -> Node:
    """The node with its row locked: everything that changes its jobs or its state takes this lock first."""
    return (
        Node.objects.select_for_update(of=("self",), no_key=True)
        .select_related("site", "node_type__gpu_model", "bmc")
        .get(pk=pk)
    )


def live_job(node: Node) -> Job | None:
    """The job that has the node in hand; queued deployments are not it."""
    return Job.objects.filter(node=node, state__in=("ready", "leased", "waiting"), is_queued=False).first()


def create_job(
    *,
    kind: str,
    node: Node,
    actor: Actor,
    tenant_id: int | None = None,
    reservation_ref: str = "",
    is_queued: bool = False,
    **values: Any,
) -> Job:
    """A job with all its steps, audited as born, and a worker roused for it after commit."""
    job = Job.objects.create(
        kind=kind,
        node=node,
        tenant_id=tenant_id,
        reservation_ref=reservation_ref,
        requested_by=actor.ref[:60],
        is_queued=is_queued,
        **values,
    )
    JobStep.objects.bulk_create(
        JobStep(job=job, name=spec.name, position=position) for position, spec in enumerate(PLANS[kind])
    )
    born(machine=JOB, subject=job, actor=actor, details=job.facts())
    progress.notify(reservation_ref)
    if not is_queued:
        wake_after_commit(job_ref=job.ref, site_code=node.site.code)
    return job


def promote_next(*, node: Node) -> Job | None:
    """The deployment that waited longest for this node gets it; None when nobody waits. The node is ``available``."""
    if node.state != NodeState.AVAILABLE:
        return None
    job = (
        Job.objects.select_for_update(of=("self",), no_key=True)
        .filter(node=node, kind=JobKind.DEPLOY, is_queued=True, state=JobState.READY)
        .order_by("pk")
        .first()
    )
    if job is None:
        return None
    begin_deployment(job=job, node=node, actor=system_actor(name="provisioning"))
    Job.objects.filter(pk=job.pk).update(is_queued=False, run_at=Now())
    job.is_queued = False
    wake_after_commit(job_ref=job.ref, site_code=node.site.code)
    return job


def begin_deployment(*, job: Job, node: Node, actor: Actor) -> None:
    """From here on the node's events are written to the tenant's log."""
    node.holder_id = job.tenant_id
    Node.objects.filter(pk=node.pk).update(holder_id=job.tenant_id)
    fire(
        machine=NODE,
        subject=node,
        event=NodeEvent.DEPLOY,
        actor=actor,
        details={"reservation": job.reservation_ref, "job": job.ref},
    )
