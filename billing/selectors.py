"""Reads. Amounts are Decimals in the currency beside them; ``cost_of`` and the invoice come from one rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection
from django.db.models import F, Q, QuerySet, Sum

from billing.errors import NoPrice
from billing.models import (
    AccountKind,
    Charge,
    CreditLine,
    Hold,
    Invoice,
    LedgerAccount,
    LedgerEntry,
    PaymentMethod,
    Price,
    UsageInterval,
)
from billing.rating import tax_on
from billing.states import CardState
from common.actors import Actor
from common.errors import NotFound

ZERO = Decimal("0.00")


@dataclass(frozen=True, kw_only=True)
class PriceRow:
    """One line of the price list: net per GPU-hour."""

    price_id: int
    price_ref: str
    site_id: int
    site_code: str
    node_type_id: int
    node_type_code: str
    eur_per_gpu_hour: Decimal
    currency: str
    valid_until_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class CostSoFar:
    """What a reservation came to: node-seconds, amounts in cents, and what an hour of what still runs adds, net."""

    seconds: int = 0
    net: Decimal = ZERO
    tax: Decimal = ZERO
    gross: Decimal = ZERO
    hourly_net: Decimal = ZERO
    currency: str = "EUR"


@dataclass(frozen=True, kw_only=True)
class Balance:
    """A tenant's money: ``available`` is what new reservations may still hold."""

    prepaid: Decimal
    receivable: Decimal
    accrued: Decimal
    credit_line: Decimal
    held: Decimal
    currency: str

    @property
    def funds(self) -> Decimal:
        """All that may be used, held or not."""
        return self.prepaid + self.credit_line - self.receivable

    @property
    def available(self) -> Decimal:
        return self.funds - self.held


def _in_force(at: datetime) -> Q:
    return Q(valid_from_at__lte=at) & (Q(valid_until_at=None) | Q(valid_until_at__gt=at))


def price_list(*, at: datetime, currency: str = "EUR") -> list[PriceRow]:
    """What is sold at ``at``, by site and node type; one query."""
    rows = Price.objects.filter(_in_force(at), currency=currency, site__is_open=True, node_type__is_offered=True)
    return [
        PriceRow(
            price_id=price.pk,
            price_ref=price.ref,
            site_id=price.site_id,
            site_code=price.site.code,
            node_type_id=price.node_type_id,
            node_type_code=price.node_type.code,
            eur_per_gpu_hour=price.rate,
            currency=price.currency,
            valid_until_at=price.valid_until_at,
        )
        for price in rows.select_related("site", "node_type").order_by("site__code", "node_type__code")
    ]


def price_at(*, site_id: int, node_type_id: int, at: datetime) -> Price:
    """The price in force. Raises NoPrice."""
    price = Price.objects.filter(_in_force(at), site_id=site_id, node_type_id=node_type_id).first()
    if price is None:
        raise NoPrice("this node type has no price at this site")
    return price


# Every interval is rated on its own and rounded once, as its invoice line will be.
_COSTS = """
SELECT reservation_ref, currency, tax_percent, sum(seconds),
       sum(chapek_rated(seconds, gpu_count, rate)), sum(CASE WHEN runs THEN round(gpu_count * rate, 2) ELSE 0 END)
FROM (
    SELECT u.reservation_ref, u.currency, s.tax_percent, u.gpu_count, u.rate,
           greatest(0, extract(epoch FROM least(u.until_at, %(at)s::timestamptz) - u.from_at))::bigint AS seconds,
           u.from_at <= %(at)s AND (u.until_at IS NULL OR u.until_at > %(at)s) AS runs
    FROM billing_usageinterval u JOIN billing_pricesnapshot s ON s.id = u.snapshot_id
    WHERE u.reservation_ref = ANY(%(refs)s)
      AND (NOT %(unissued)s OR NOT EXISTS (
        SELECT 1 FROM billing_invoiceline l JOIN billing_invoice i ON i.id = l.invoice_id
        WHERE l.usage_id = u.id AND i.state <> 'draft'))
) used
GROUP BY reservation_ref, currency, tax_percent
"""


def cost_of(*, reservation_refs: Sequence[str], at: datetime, only_unissued: bool = False) -> dict[str, CostSoFar]:
    """What each reservation came to until ``at``; one query. ``only_unissued`` leaves out what is on issued invoices.

    Every ref asked for is in the answer, with zeros where nothing was used.
    """
    found = {ref: CostSoFar() for ref in reservation_refs}
    if not found:
        return found
    with connection.cursor() as cursor:
        cursor.execute(_COSTS, {"refs": list(found), "at": at, "unissued": only_unissued})
        for ref, currency, percent, seconds, net, hourly in cursor.fetchall():
            so_far = found[ref]
            tax = tax_on(net=net, percent=percent)
            found[ref] = CostSoFar(
                seconds=so_far.seconds + int(seconds),
                net=so_far.net + net,
                tax=so_far.tax + tax,
                gross=so_far.gross + net + tax,
                hourly_net=so_far.hourly_net + hourly,
                currency=currency,
            )
    return found


def balance(*, tenant_id: int, currency: str = "EUR") -> Balance:
    """Three sums; to decide on them, hold ``services.ledger.lock_money`` first."""
    kinds = [AccountKind.PREPAID, AccountKind.RECEIVABLE, AccountKind.ACCRUED]
    entries = LedgerEntry.objects.filter(
        account__tenant_id=tenant_id, account__currency=currency, account__kind__in=kinds
    )
    sums = dict(entries.values_list("account__kind").annotate(total=Sum("amount")))
    held = Hold.objects.filter(tenant_id=tenant_id, currency=currency, released_at=None).aggregate(total=Sum("amount"))
    lines = CreditLine.objects.filter(tenant_id=tenant_id, currency=currency, closed_at=None)
    return Balance(
        prepaid=-sums.get(AccountKind.PREPAID, ZERO),
        receivable=sums.get(AccountKind.RECEIVABLE, ZERO),
        accrued=sums.get(AccountKind.ACCRUED, ZERO),
        credit_line=max(lines.values_list("limit", flat=True), default=ZERO),
        held=held["total"] or ZERO,
        currency=currency,
    )


def outstanding(*, invoice: Invoice) -> Decimal:
    """What is still owed on an issued invoice: the receivable entries about it."""
    entries = LedgerEntry.objects.filter(
        transaction__subject_ref=invoice.ref, account__kind=AccountKind.RECEIVABLE, account__tenant_id=invoice.tenant_id
    )
    total: Decimal | None = entries.aggregate(total=Sum("amount"))["total"]
    return ZERO if total is None else total


def invoices(*, actor: Actor) -> QuerySet[Invoice]:
    """Drafts too: a tenant may see what is coming."""
    return Invoice.objects.visible_to(actor)


def invoice(*, actor: Actor, ref: str) -> Invoice:
    """With its lines. Raises NotFound."""
    found = invoices(actor=actor).prefetch_related("lines").select_related("legal_entity").filter(ref=ref).first()
    if found is None:
        raise NotFound("there is no invoice of that id", ref=ref)
    return found


def cards(*, actor: Actor) -> QuerySet[PaymentMethod]:
    """Cards on file, the default one first."""
    return PaymentMethod.objects.visible_to(actor).filter(state=CardState.ACTIVE)


def card_being_entered(*, actor: Actor) -> PaymentMethod | None:
    """The newest card whose entry at the processor is not known to be over."""
    return PaymentMethod.objects.visible_to(actor).filter(state=CardState.PENDING).order_by("-pk").first()


def charges(*, actor: Actor) -> QuerySet[Charge]:
    return Charge.objects.visible_to(actor).select_related("invoice", "method")


def usage(
    *, actor: Actor, from_at: datetime | None = None, until_at: datetime | None = None, reservation_ref: str = ""
) -> QuerySet[UsageInterval]:
    """Intervals that touch ``[from_at, until_at)``: the rows of the usage CSV, oldest first."""
    rows = UsageInterval.objects.visible_to(actor).order_by("from_at", "pk")
    if from_at is not None:
        rows = rows.filter(Q(until_at=None) | Q(until_at__gt=from_at))
    if until_at is not None:
        rows = rows.filter(from_at__lt=until_at)
    if reservation_ref:
        rows = rows.filter(reservation_ref=reservation_ref)
    return rows


def ledger(*, actor: Actor) -> QuerySet[LedgerEntry]:
    """The tenant's own account entries, newest first."""
    rows = LedgerEntry.objects.filter(account__in=LedgerAccount.objects.visible_to(actor))
    return rows.select_related("transaction", "account").order_by(F("pk").desc())
