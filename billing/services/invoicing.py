"""Drafts: what was used and is on no invoice yet, one line per interval."""

from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from billing.models import Invoice, InvoiceLine, UsageInterval
from billing.rating import tax_on
from billing.services.ledger import lock_money
from billing.services.metering import cut_metering
from billing.states import INVOICE, InvoiceState
from common.actors import Actor
from common.clock import database_now
from common.errors import InvalidRequest
from common.state_machine import born


@transaction.atomic
def draft_invoice(
    *, tenant_id: int, at: datetime, actor: Actor, reservation_ref: str = "", currency: str = "EUR"
) -> Invoice | None:
    """Put everything used until ``at`` and not invoiced on a draft: of one reservation, or of the whole tenant.

    What still runs is cut at ``at`` and goes on in the same second. An open draft of the same scope grows instead of
    a second one being made. Returns None when there is nothing to invoice. ``at`` is not later than now.
    """
    if at > database_now():
        raise InvalidRequest("time that has not passed cannot be invoiced", field="at")
    cut_metering(tenant_id=tenant_id, reservation_ref=reservation_ref, at=at, actor=actor)
    lock_money(tenant_id=tenant_id, currency=currency)
    draft = (
        Invoice.objects.select_for_update(of=("self",), no_key=True)
        .filter(tenant_id=tenant_id, state=InvoiceState.DRAFT, reservation_ref=reservation_ref, currency=currency)
        .order_by("pk")
        .first()
    )
    used = _uninvoiced(tenant_id=tenant_id, reservation_ref=reservation_ref, at=at, currency=currency)
    if not used:
        return draft
    from_at, until_at = min(row.from_at for row in used), max(_end(row) for row in used)
    is_new = draft is None
    if draft is None:
        draft = Invoice.objects.create(
            tenant_id=tenant_id,
            reservation_ref=reservation_ref,
            currency=currency,
            period_from_at=from_at,
            period_until_at=until_at,
            drafted_at=at,
        )
    _add_lines(draft, used)
    draft.period_from_at = min(draft.period_from_at, from_at)
    draft.period_until_at = max(draft.period_until_at, until_at)
    total_up(draft)
    draft.save()
    if is_new:
        born(
            machine=INVOICE,
            subject=draft,
            actor=actor,
            details={
                "reservation": reservation_ref,
                "net": f"{draft.net} {currency}",
                "gross": f"{draft.gross} {currency}",
            },
        )
    return draft


def total_up(invoice: Invoice) -> None:
    """Net, tax and gross from the lines: tax once per treatment and rate, as EN 16931 computes it."""
    groups: dict[tuple[str, str, Decimal, str], Decimal] = {}
    for line in invoice.lines.all():
        group = (line.tax_treatment, line.tax_country, line.tax_percent, line.tax_note)
        groups[group] = groups.get(group, Decimal(0)) + line.net
    summary = []
    invoice.net = invoice.tax = Decimal("0.00")
    for (treatment, country, percent, note), net in sorted(groups.items()):
        tax = tax_on(net=net, percent=percent)
        summary.append(
            {
                "treatment": treatment,
                "country": country,
                "percent": str(percent),
                "net": str(net),
                "tax": str(tax),
                "note": note,
            }
        )
        invoice.net += net
        invoice.tax += tax
    invoice.gross = invoice.net + invoice.tax
    invoice.tax_summary = summary


def _uninvoiced(*, tenant_id: int, reservation_ref: str, at: datetime, currency: str) -> list[UsageInterval]:
    rows = UsageInterval.objects.filter(tenant_id=tenant_id, currency=currency, until_at__lte=at, invoice_line=None)
    if reservation_ref:
        rows = rows.filter(reservation_ref=reservation_ref)
    ordered = rows.select_related("snapshot").order_by("reservation_ref", "node_ref", "from_at", "pk")
    return [row for row in ordered if _end(row) > row.from_at]


def _end(row: UsageInterval) -> datetime:
    assert row.until_at is not None  # noqa: S101 - the query asks for ended intervals only
    return row.until_at


def _add_lines(draft: Invoice, used: list[UsageInterval]) -> None:
    last = draft.lines.aggregate(last=Max("position"))["last"] or 0
    InvoiceLine.objects.bulk_create(
        InvoiceLine(
            invoice=draft,
            position=position,
            usage=row,
            description=_("%(type)s node %(node)s at %(site)s, reservation %(reservation)s")
            % {
                "type": row.node_type_code,
                "node": row.node_ref,
                "site": row.site_code,
                "reservation": row.reservation_ref,
            },
            from_at=row.from_at,
            until_at=_end(row),
            seconds=row.seconds(at=_end(row)),
            gpu_count=row.gpu_count,
            rate=row.rate,
            net=row.net_amount,
            tax_treatment=row.snapshot.tax_treatment,
            tax_country=row.snapshot.tax_country,
            tax_percent=row.snapshot.tax_percent,
            tax_note=row.snapshot.tax_note,
        )
        for position, row in enumerate(used, start=last + 1)
    )
