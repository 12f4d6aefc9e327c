"""What happens by itself: starts at their time, and the news of provisioning."""

from datetime import datetime

from django.db import transaction

from billing import services as billing
from billing.services import UsageSubject
from common.actors import Actor, system_actor
from common.clock import database_now
from common.state_machine import fire
from inventory.models import Node
from provisioning import services as provisioning
from reservations.models import Allocation, Reservation
from reservations.services.ending import give_up, lock_nodes
from reservations.states import RESERVATION, ReservationEvent, ReservationState

CONDUCTOR = system_actor(name="conductor")


def lock(*, ref: str) -> Reservation | None:
    """The reservation with its row locked, or None when there is none of that ref."""
    return (
        Reservation.objects.select_for_update(of=("self",), no_key=True)
        .select_related("site", "node_type", "image", "project", "price_snapshot", "tenant")
        .filter(ref=ref)
        .first()
    )


def begin_deployment(*, reservation: Reservation, nodes: list[Node], actor: Actor) -> None:
    """Its time has come: every node is asked for in the same transaction."""
    fire(machine=RESERVATION, subject=reservation, event=ReservationEvent.START, actor=actor)
    for number, node in enumerate(nodes):
        suffix = f"-{number}" if reservation.node_count > 1 else ""
        provisioning.request_deployment(
            node=node,
            tenant_id=reservation.tenant_id,
            reservation_ref=reservation.ref,
            image=reservation.image,
            hostname=f"{reservation.name[: 63 - len(suffix)]}{suffix}",
            ssh_public_keys=reservation.ssh_public_keys,
            user_data=reservation.user_data(),
            actor=actor,
        )


def start_due(*, limit: int = 50) -> int:
    """Start what is scheduled for now or earlier. Returns how many; each in a transaction of its own."""
    due = Reservation.objects.filter(state=ReservationState.SCHEDULED, starts_at__lte=database_now())
    done = 0
    for ref in list(due.order_by("starts_at").values_list("ref", flat=True)[:limit]):
        with transaction.atomic():
            nodes = list(
                Node.objects.select_for_update(of=("self",), no_key=True)
                .select_related("site", "node_type", "rack", "pool", "bmc")
                .filter(allocations__reservation__ref=ref, allocations__is_live=True)
                .order_by("pk")
            )
            reservation = lock(ref=ref)
            if reservation is not None and reservation.state == ReservationState.SCHEDULED:
                begin_deployment(reservation=reservation, nodes=nodes, actor=CONDUCTOR)
                done += 1
    return done


def node_deployed(*, reservation_ref: str, node_id: int, occurred_at: datetime) -> None:
    """A node passed its health gate; with the last one the reservation is active and metered, in one transaction."""
    reservation = lock(ref=reservation_ref)
    if reservation is None or reservation.state != ReservationState.DEPLOYING:
        return
    rows = Allocation.objects.filter(reservation=reservation, is_live=True)
    rows.filter(node_id=node_id, deployed_at=None).update(deployed_at=occurred_at)
    if rows.filter(deployed_at=None).exists():
        return
    change = fire(machine=RESERVATION, subject=reservation, event=ReservationEvent.ACTIVATE, actor=CONDUCTOR)
    Reservation.objects.filter(pk=reservation.pk).update(active_at=change.at)
    nodes = Node.objects.filter(allocations__reservation=reservation, allocations__is_live=True)
    billing.start_metering(
        tenant_id=reservation.tenant_id,
        reservation_ref=reservation.ref,
        snapshot=reservation.price_snapshot,
        nodes=[
            UsageSubject(
                node_id=node.pk,
                node_ref=node.ref,
                node_type_code=reservation.node_type.code,
                gpu_count=reservation.node_type.gpu_count,
                pool_code=node.pool.code,
                site_code=reservation.site.code,
                project_ref=reservation.project.ref,
            )
            for node in nodes.select_related("pool").order_by("pk")
        ],
        from_at=change.at,
        actor=CONDUCTOR,
    )


def node_deployment_failed(*, reservation_ref: str, node_id: int, reason: str) -> None:
    """One node failed: the whole reservation is given up, the others are released, nothing is charged."""
    lock_nodes(ref=reservation_ref)  # before the reservation, as the house orders locks: its nodes are released below
    reservation = lock(ref=reservation_ref)
    if reservation is None or reservation.state != ReservationState.DEPLOYING:
        return
    name = Node.objects.values_list("name", flat=True).get(pk=node_id)
    Reservation.objects.filter(pk=reservation.pk).update(failure=f"{name}: {reason}"[:2000])
    give_up(reservation=reservation, failed_node_id=node_id, actor=CONDUCTOR, reason=reason)


def node_cleaned(*, reservation_ref: str, node_id: int, occurred_at: datetime) -> None:
    """A node was erased; with the last one the reservation has ended."""
    reservation = lock(ref=reservation_ref)
    if reservation is None:
        return
    rows = Allocation.objects.filter(reservation=reservation)
    rows.filter(node_id=node_id, cleaned_at=None).update(cleaned_at=occurred_at)
    if reservation.state == ReservationState.ENDING and not rows.filter(cleaned_at=None).exists():
        change = fire(machine=RESERVATION, subject=reservation, event=ReservationEvent.CLEANED, actor=CONDUCTOR)
        Reservation.objects.filter(pk=reservation.pk).update(ended_at=change.at)
