"""Changes to a running reservation: its end, and the power of its nodes."""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from accounts import permissions
from accounts.models import Tenant
from accounts.roles import Permission
from billing import services as billing
from common.actors import Actor
from common.clock import database_now
from common.errors import Conflict, InvalidRequest, NotFound
from common.money import Money
from common.periods import Period
from compliance.audit import services as audit
from inventory.models import Node, Stock
from provisioning import services as provisioning
from provisioning.models import Job
from reservations import selectors
from reservations.errors import OutOfStock
from reservations.models import Allocation, Reservation
from reservations.states import ReservationState

EXTENDABLE = frozenset({ReservationState.SCHEDULED, ReservationState.DEPLOYING, ReservationState.ACTIVE})
POWER_ACTIONS = {"power_on": "on", "power_off": "off", "power_cycle": "cycle", "reboot": "reset"}


def extend(*, actor: Actor, ref: str, ends_at: datetime | None) -> Reservation:
    """Move the end, later or earlier; None means until released. Raises OutOfStock when a node is promised on."""
    permissions.require(actor, Permission.RESERVE)
    seen = selectors.reservation(actor=actor, ref=ref)
    try:
        with transaction.atomic():
            Tenant.objects.select_for_update(of=("self",), no_key=True).get(pk=seen.tenant_id)
            Stock.objects.select_for_update(of=("self",), no_key=True).get(site=seen.site, node_type=seen.node_type)
            return _extend(actor=actor, ref=ref, ends_at=ends_at)
    except IntegrityError as error:
        if "node_promised_once" in str(error):
            raise OutOfStock(
                "a node of this reservation is promised to someone after its present end",
                hint="choose an earlier end, or reserve other nodes for the time after",
            ) from error
        raise


def _extend(*, actor: Actor, ref: str, ends_at: datetime | None) -> Reservation:
    reservation = (
        Reservation.objects.visible_to(actor)
        .select_for_update(of=("self",), no_key=True)
        .select_related("quote", "price_snapshot")
        .filter(ref=ref)
        .first()
    )
    if reservation is None:
        raise NotFound("there is no reservation of that id", ref=ref)
    if reservation.state not in EXTENDABLE:
        raise Conflict(f"the reservation is {reservation.state}; its end cannot move", state=reservation.state)
    now = database_now()
    earliest = max(now, reservation.starts_at) + timedelta(minutes=1)
    if ends_at is not None and (ends_at.tzinfo is None or ends_at < earliest):
        raise InvalidRequest(f"the end must be {earliest.isoformat()} or later, with an offset", field="ends_at")
    for row in Allocation.objects.filter(reservation=reservation, is_live=True):
        row.period = Period(start_at=Period.from_range(row.period).start_at, end_at=ends_at).as_range()
        row.save(update_fields=["period"])
    before, reservation.ends_at = reservation.ends_at, ends_at
    reservation.save(update_fields=["ends_at"])
    billing.hold_next_hour(
        tenant_id=reservation.tenant_id,
        reservation_ref=reservation.ref,
        hourly_gross=Money(
            billing.hourly_gross(estimate=reservation.quote.estimate), reservation.price_snapshot.currency
        ),
        at=now,
        ends_at=ends_at,
    )
    audit.record(
        log_tenant_id=reservation.tenant_id,
        kind="reservation.end_moved",
        subject_ref=reservation.ref,
        actor=actor,
        details={
            "from": before.isoformat() if before else "until released",
            "to": ends_at.isoformat() if ends_at else "until released",
        },
        at=now,
    )
    return reservation


def power(*, actor: Actor, ref: str, action: str, node_ref: str | None = None) -> list[Job]:
    """Ask for power_on, power_off, power_cycle or reboot of one node, or of all. Power off still bills."""
    permissions.require(actor, Permission.RESERVE, even_suspended=True)
    if action not in POWER_ACTIONS:
        raise InvalidRequest(f"{action} is no power action", field="action", hint=", ".join(POWER_ACTIONS))
    with transaction.atomic():
        reservation = selectors.reservation(actor=actor, ref=ref)
        nodes = (
            Node.objects.select_for_update(of=("self",), no_key=True)
            .select_related("site", "bmc")
            .filter(allocations__reservation=reservation, allocations__is_live=True)
            .order_by("pk")
        )
        chosen = [node for node in nodes if node_ref is None or node.ref == node_ref]
        if not chosen and node_ref is not None:
            raise NotFound("this reservation has no node of that id", ref=node_ref)
        reservation.refresh_from_db(fields=["state"])
        if reservation.state != ReservationState.ACTIVE:
            raise Conflict(f"the reservation is {reservation.state}; its nodes cannot be switched now")
        return [
            provisioning.request_power(
                node=node, action=POWER_ACTIONS[action], reservation_ref=reservation.ref, actor=actor
            )
            for node in chosen
        ]
