"""Every way a reservation ends: released, expired, cancelled, out of money, failed."""

from datetime import datetime

from django.db import transaction

from accounts import permissions
from accounts.roles import Permission
from billing import selectors as costs
from billing import services as billing
from common.actors import Actor, system_actor
from common.clock import database_now
from common.errors import NotFound
from common.periods import Period
from common.state_machine import fire
from inventory.models import Node
from provisioning import services as provisioning
from reservations import selectors
from reservations.models import Allocation, Reservation
from reservations.states import RESERVATION, ReservationEvent, ReservationState

CONDUCTOR = system_actor(name="conductor")


def release(*, actor: Actor, ref: str) -> Reservation:
    """The tenant is done: metering stops in this transaction, erasing begins. Raises IllegalTransition, NotFound."""
    permissions.require(actor, Permission.RESERVE, even_suspended=True)
    with transaction.atomic():
        selectors.reservation(actor=actor, ref=ref)  # a stranger's request locks nothing
        lock_nodes(ref=ref)
        return _end(_own(actor=actor, ref=ref), event=ReservationEvent.RELEASE, actor=actor, reason="released")


def cancel(*, actor: Actor, ref: str) -> Reservation:
    """Give up a reservation that has not started; the money held is free again."""
    permissions.require(actor, Permission.RESERVE, even_suspended=True)
    with transaction.atomic():
        reservation = _own(actor=actor, ref=ref)
        change = fire(machine=RESERVATION, subject=reservation, event=ReservationEvent.CANCEL, actor=actor)
        Allocation.objects.filter(reservation=reservation).update(is_live=False)
        billing.release_hold(reservation_ref=reservation.ref, at=change.at)
        return reservation


def end_due(*, limit: int = 50) -> int:
    """End what has reached its end time or its cap. Returns how many; each in a transaction of its own."""
    now = database_now()
    running = {ReservationState.DEPLOYING, ReservationState.ACTIVE, ReservationState.SUSPENDED}
    expired = Reservation.objects.filter(state__in=running, ends_at__lte=now).order_by("ends_at")
    due = [(ref, ReservationEvent.EXPIRE, "its end time") for ref in expired.values_list("ref", flat=True)[:limit]]
    capped = Reservation.objects.filter(state=ReservationState.ACTIVE, max_spend__isnull=False)
    caps = dict(capped.values_list("ref", "max_spend"))
    spent = costs.cost_of(reservation_refs=list(caps), at=now)
    due += [
        (ref, ReservationEvent.EXHAUST, "its cap")
        for ref, cap in caps.items()
        if cap is not None and ref in spent and spent[ref].net >= cap
    ]
    return sum(_end_by_itself(ref=ref, event=event, reason=reason) for ref, event, reason in due)


def exhaust(*, reservation_ref: str) -> None:
    """The tenant's money is used up and no more can be held."""
    _end_by_itself(ref=reservation_ref, event=ReservationEvent.EXHAUST, reason="the money held for it")


def give_up(*, reservation: Reservation, failed_node_id: int, actor: Actor, reason: str) -> None:
    """A deployment failed: the node that failed cleans itself, its companions are released."""
    change = fire(
        machine=RESERVATION,
        subject=reservation,
        event=ReservationEvent.FAIL,
        actor=actor,
        details={"reason": reason},
    )
    companions = Node.objects.filter(allocations__reservation=reservation, allocations__is_live=True)
    for node in companions.exclude(pk=failed_node_id).select_related("site", "bmc").order_by("pk"):
        provisioning.request_release(node=node, reservation_ref=reservation.ref, actor=actor, reason=reason)
    Allocation.objects.filter(reservation=reservation).update(is_live=False)
    Reservation.objects.filter(pk=reservation.pk).update(ended_at=change.at)
    billing.release_hold(reservation_ref=reservation.ref, at=change.at)


def _own(*, actor: Actor, ref: str) -> Reservation:
    found = (
        Reservation.objects.visible_to(actor)
        .select_for_update(of=("self",), no_key=True)
        .select_related("site", "node_type", "price_snapshot", "tenant")
        .filter(ref=ref)
        .first()
    )
    if found is None:
        raise NotFound("there is no reservation of that id", ref=ref)
    return found


def lock_nodes(*, ref: str) -> None:
    """Nodes before the reservation, as the house orders locks."""
    rows = Node.objects.select_for_update(of=("self",), no_key=True).filter(allocations__reservation__ref=ref)
    list(rows.order_by("pk").values_list("pk", flat=True))


def _end_by_itself(*, ref: str, event: str, reason: str) -> bool:
    with transaction.atomic():
        lock_nodes(ref=ref)
        reservation = (
            Reservation.objects.select_for_update(of=("self",), no_key=True)
            .select_related("site", "node_type", "price_snapshot", "tenant")
            .filter(ref=ref)
            .first()
        )
        if reservation is None or (reservation.state, event) not in RESERVATION.table:
            return False
        _end(reservation, event=event, actor=CONDUCTOR, reason=reason)
        return True


def _end(reservation: Reservation, *, event: str, actor: Actor, reason: str) -> Reservation:
    """Stop metering, shorten the promise and ask for the nodes to be erased, with the change of state."""
    was_metered = reservation.state == ReservationState.ACTIVE
    change = fire(machine=RESERVATION, subject=reservation, event=event, actor=actor, details={"reason": reason})
    Reservation.objects.filter(pk=reservation.pk).update(released_at=change.at)
    if was_metered:
        billing.stop_metering(reservation_ref=reservation.ref, until_at=change.at, actor=actor)
        billing.draft_invoice(
            tenant_id=reservation.tenant_id, reservation_ref=reservation.ref, at=change.at, actor=actor
        )
    billing.release_hold(reservation_ref=reservation.ref, at=change.at)
    _shorten(reservation, until_at=change.at)
    nodes = Node.objects.filter(allocations__reservation=reservation).select_related("site", "bmc").order_by("pk")
    for node in nodes:
        provisioning.request_release(node=node, reservation_ref=reservation.ref, actor=actor, reason=reason)
    return reservation


def _shorten(reservation: Reservation, *, until_at: datetime) -> None:
    for row in Allocation.objects.filter(reservation=reservation, is_live=True):
        start_at = Period.from_range(row.period).start_at
        if until_at <= start_at:
            row.is_live = False
        else:
            row.period = Period(start_at=start_at, end_at=until_at).as_range()
        row.save(update_fields=["is_live", "period"])
