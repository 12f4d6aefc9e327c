"""Money held ahead: what a reservation used and is not invoiced, and its next hour (DESIGN section 11)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal

import structlog
from django.db import DatabaseError, transaction

from billing.errors import InsufficientFunds
from billing.models import Hold, UsageInterval
from billing.rating import SECONDS_PER_HOUR
from billing.selectors import balance, cost_of
from billing.services.ledger import lock_money
from common.money import CENT, Money
from common.outbox import publish

log = structlog.get_logger(__name__)

WARN_PERCENT = 80
LAST_MINUTE_S = 60
"""Renewal comes once a minute: less than this much money left is none left."""


@transaction.atomic
def hold_next_hour(
    *, tenant_id: int, reservation_ref: str, hourly_gross: Money, at: datetime, ends_at: datetime | None = None
) -> Hold:
    """Set the reservation's next hour aside, or less when ``ends_at`` comes earlier; again, when its price changes.

    Locks the tenant's money. Raises InsufficientFunds; nothing is held then.
    """
    currency = hourly_gross.currency
    lock_money(tenant_id=tenant_id, currency=currency)
    hourly = hourly_gross.rounded().amount
    used = cost_of(reservation_refs=[reservation_ref], at=at, only_unissued=True)[reservation_ref].gross
    needed = used + _ahead(hourly=hourly, at=at, ends_at=ends_at)
    hold = _locked(reservation_ref)
    money = balance(tenant_id=tenant_id, currency=currency)
    available = money.available + (hold.amount if hold else Decimal(0))
    if needed > available:
        raise InsufficientFunds(
            f"{Money(needed, currency)} must be held for the next hour; {Money(available, currency)} is available",
            needed=str(needed),
            available=str(available),
            currency=currency,
        )
    if hold is None:
        return Hold.objects.create(
            tenant_id=tenant_id,
            reservation_ref=reservation_ref,
            amount=needed,
            hourly_gross=hourly,
            currency=currency,
            ends_at=ends_at,
            placed_at=at,
            renewed_at=at,
        )
    hold.amount, hold.hourly_gross, hold.ends_at, hold.renewed_at, hold.is_running = needed, hourly, ends_at, at, True
    hold.save(update_fields=["amount", "hourly_gross", "ends_at", "renewed_at", "is_running"])
    return hold


@transaction.atomic
def release_hold(*, reservation_ref: str, at: datetime) -> Hold | None:
    """The next hour is no longer held. What was used stays held until its invoice is issued; else all is free."""
    found = Hold.objects.filter(reservation_ref=reservation_ref, released_at=None).first()
    if found is None:
        return None
    lock_money(tenant_id=found.tenant_id, currency=found.currency)
    hold = _locked(reservation_ref)
    if hold is not None:
        hold.is_running = False
        settle_holds([hold], at=at)
    return hold


def settle_holds(holds: list[Hold], *, at: datetime) -> None:
    """Bring ended holds down to what is used and not on an issued invoice; free those that cover nothing.

    The caller holds the tenant's money.
    """
    costs = cost_of(reservation_refs=[hold.reservation_ref for hold in holds], at=at, only_unissued=True)
    for hold in holds:
        used = costs[hold.reservation_ref].gross
        if hold.is_running:
            hold.amount = min(hold.amount, used + _ahead(hourly=hold.hourly_gross, at=at, ends_at=hold.ends_at))
        else:
            hold.amount = used
            hold.released_at = None if used else at
        hold.save(update_fields=["amount", "is_running", "released_at"])


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """What one round of renewal found."""

    renewed: int = 0
    short: int = 0


def renew_holds(*, at: datetime) -> Renewal:
    """Move every running hold on by the time that passed; each tenant in a transaction of its own.

    Publishes ``money.low`` {reservation_ref, tenant_id, level, seconds_left} once at 80 % and once when a renewal
    falls short (100), and ``money.exhausted`` {reservation_ref, tenant_id} when what is left lasts under a minute.
    """
    running = Hold.objects.filter(released_at=None, is_running=True)
    renewed = short = 0
    for tenant_id, currency in list(running.values_list("tenant_id", "currency").distinct().order_by("tenant_id")):
        try:
            with transaction.atomic():
                lock_money(tenant_id=tenant_id, currency=currency)
                done = _renew_tenant(tenant_id=tenant_id, currency=currency, at=at)
        except DatabaseError:  # one tenant's trouble is not the others'
            log.exception("holds not renewed", tenant_id=tenant_id)
            continue
        renewed += done.renewed
        short += done.short
    return Renewal(renewed=renewed, short=short)


def _renew_tenant(*, tenant_id: int, currency: str, at: datetime) -> Renewal:
    holds = list(
        Hold.objects.select_for_update(of=("self",), no_key=True)
        .filter(tenant_id=tenant_id, currency=currency, released_at=None, is_running=True)
        .order_by("pk")
    )
    refs = [hold.reservation_ref for hold in holds]
    costs = cost_of(reservation_refs=refs, at=at, only_unissued=True)
    metered = set(
        UsageInterval.objects.filter(reservation_ref__in=refs, until_at=None).values_list("reservation_ref", flat=True)
    )
    money = balance(tenant_id=tenant_id, currency=currency)
    available, funds = money.available, money.funds
    renewed = short = 0
    for hold in holds:
        used = costs[hold.reservation_ref].gross
        wanted = used + _ahead(hourly=hold.hourly_gross, at=at, ends_at=hold.ends_at)
        more = wanted - hold.amount
        granted = min(more, max(available, Decimal(0)))
        hold.amount += granted
        hold.renewed_at = at
        available -= granted
        if granted == more:
            renewed += 1
            committed = funds - available
            level = WARN_PERCENT if funds <= 0 or committed * 100 >= funds * WARN_PERCENT else 0
            hold.exhausted_at = None
        else:
            short += 1
            level = 100
        if hold.reservation_ref in metered:
            _warn(hold, level=level, used=used, at=at)
        hold.save(update_fields=["amount", "renewed_at", "warned_level", "exhausted_at"])
    return Renewal(renewed=renewed, short=short)


def _warn(hold: Hold, *, level: int, used: Decimal, at: datetime) -> None:
    """Tell of each level once on the way down; a level is armed again when the money is back."""
    left_s = int((hold.amount - used) * SECONDS_PER_HOUR / hold.hourly_gross) if hold.hourly_gross else 0
    facts = {"reservation_ref": hold.reservation_ref, "tenant_id": hold.tenant_id}
    if level > hold.warned_level:
        publish(
            kind="money.low",
            aggregate=hold.reservation_ref,
            payload={**facts, "level": level, "seconds_left": max(0, left_s)},
            occurred_at=at,
        )
    hold.warned_level = level
    ends_first = hold.ends_at is not None and hold.ends_at <= at + timedelta(seconds=max(0, left_s))
    if level == 100 and left_s < LAST_MINUTE_S and not ends_first and hold.exhausted_at is None:
        publish(kind="money.exhausted", aggregate=hold.reservation_ref, payload=facts, occurred_at=at)
        hold.exhausted_at = at


def _ahead(*, hourly: Decimal, at: datetime, ends_at: datetime | None) -> Decimal:
    """An hour, or what is left of it before the fixed end; up to the next cent."""
    seconds = SECONDS_PER_HOUR if ends_at is None else int((ends_at - at).total_seconds())
    seconds = min(max(seconds, 0), SECONDS_PER_HOUR)
    return (hourly * seconds / SECONDS_PER_HOUR).quantize(CENT, rounding=ROUND_CEILING)


def _locked(reservation_ref: str) -> Hold | None:
    rows = Hold.objects.select_for_update(of=("self",), no_key=True)
    return rows.filter(reservation_ref=reservation_ref, released_at=None).first()
