"""Issue: number, snapshot of seller and buyer, postings, and payment from credit or card; all in one transaction."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction

from accounts.models import Tenant
from billing.models import AccountKind, Hold, Invoice, InvoiceLine, InvoiceSeries, LedgerAccount, LegalEntity
from billing.selectors import balance, outstanding
from billing.services import ledger
from billing.services.charging import request_charge
from billing.services.holds import settle_holds
from billing.states import INVOICE, UNPAID, ChargeState, InvoiceEvent, InvoiceState
from billing.tax import default_seller
from common.actors import Actor
from common.clock import database_now
from common.outbox import publish
from common.state_machine import IllegalTransition, fire


def issue_invoice(*, invoice: Invoice, actor: Actor) -> Invoice:
    """Give the draft its number and its legal force; from here on only a credit note corrects it.

    Posts receivable and tax, draws prepaid credit, and asks for a card charge of what is left where a card is on file
    (sent after commit). Raises IllegalTransition when it is no draft, SellerMissing.
    """
    with transaction.atomic():
        ledger.lock_money(tenant_id=invoice.tenant_id, currency=invoice.currency)
        locked = Invoice.objects.select_for_update(of=("self",), no_key=True).get(pk=invoice.pk)
        if locked.state != InvoiceState.DRAFT:
            raise IllegalTransition(
                f"invoice {locked} is {locked.state}; only a draft can be issued", state=locked.state
            )
        _make_legal(locked)
        change = fire(
            machine=INVOICE,
            subject=locked,
            event=InvoiceEvent.ISSUE,
            actor=actor,
            details={
                "number": locked.number,
                "reservation": locked.reservation_ref,
                "net": str(locked.net),
                "tax": str(locked.tax),
                "gross": f"{locked.gross} {locked.currency}",
            },
        )
        _post(locked, actor=actor, at=change.at)
        pay_from_credit(invoice=locked, actor=actor, at=change.at)
        _free_holds(locked, at=change.at)
        if locked.state in UNPAID:
            request_charge(invoice=locked, actor=actor)
        publish(
            kind="invoice.issued",
            aggregate=locked.ref,
            payload={
                "invoice_ref": locked.ref,
                "tenant_id": locked.tenant_id,
                "number": locked.number,
                "reservation_ref": locked.reservation_ref,
                "gross": str(locked.gross),
                "currency": locked.currency,
            },
            occurred_at=change.at,
        )
    return locked


def pay_from_credit(*, invoice: Invoice, actor: Actor, at: datetime) -> Decimal:
    """Draw what prepaid credit there is, and mark the invoice paid when nothing is left. Returns what was drawn.

    The caller holds the tenant's money.
    """
    owed = outstanding(invoice=invoice)
    prepaid = balance(tenant_id=invoice.tenant_id, currency=invoice.currency).prepaid
    drawn = max(Decimal(0), min(owed, prepaid))
    ledger.post(
        key=f"draw:{invoice.ref}:{owed}",
        kind="credit_drawn",
        tenant_id=invoice.tenant_id,
        subject_ref=invoice.ref,
        reservation_ref=invoice.reservation_ref,
        postings=[
            (_own(invoice, AccountKind.PREPAID), drawn),
            (_own(invoice, AccountKind.RECEIVABLE), -drawn),
        ],
        actor=actor,
        occurred_at=at,
    )
    mark_paid(invoice=invoice, actor=actor)
    return drawn


def mark_paid(*, invoice: Invoice, actor: Actor) -> bool:
    """Fire ``pay`` when nothing is outstanding on an unpaid invoice. The caller holds the tenant's money."""
    if invoice.state not in UNPAID or outstanding(invoice=invoice) > 0:
        return False
    fire(machine=INVOICE, subject=invoice, event=InvoiceEvent.PAY, actor=actor, details={"number": invoice.number})
    return True


def pay_open_invoices(*, tenant_id: int, currency: str, actor: Actor, at: datetime) -> int:
    """New credit pays what is owed, oldest first; invoices with a charge under way are left to it.

    The caller holds the tenant's money. Returns how many are paid now.
    """
    under_way = [ChargeState.PENDING, ChargeState.ACTION_REQUIRED]
    unpaid = Invoice.objects.filter(tenant_id=tenant_id, currency=currency, state__in=UNPAID)
    paid = 0
    for invoice in unpaid.exclude(charges__state__in=under_way).order_by("issued_at", "pk"):
        pay_from_credit(invoice=invoice, actor=actor, at=at)
        paid += invoice.state == InvoiceState.PAID
    return paid


def mark_overdue(*, at: datetime, actor: Actor, limit: int = 500) -> int:
    """Fire ``miss`` for invoices whose due day passed in the seller's time zone. Returns how many."""
    candidates = Invoice.objects.filter(state=InvoiceState.ISSUED, due_on__lte=at.date())
    missed = 0
    for row in candidates.select_related("legal_entity").order_by("due_on", "pk")[:limit]:
        assert row.legal_entity is not None and row.due_on is not None  # noqa: S101, PT018 - set at issue, by constraint
        if at.astimezone(ZoneInfo(row.legal_entity.time_zone)).date() <= row.due_on:
            continue
        with transaction.atomic():
            ledger.lock_money(tenant_id=row.tenant_id, currency=row.currency)
            locked = Invoice.objects.select_for_update(of=("self",), no_key=True).get(pk=row.pk)
            if locked.state == InvoiceState.ISSUED:
                fire(
                    machine=INVOICE,
                    subject=locked,
                    event=InvoiceEvent.MISS,
                    actor=actor,
                    details={"due_on": str(row.due_on)},
                )
                missed += 1
    return missed


def _make_legal(invoice: Invoice) -> None:
    seller = default_seller()
    tenant = Tenant.objects.get(pk=invoice.tenant_id)
    now = database_now()
    zone = ZoneInfo(seller.time_zone)
    invoice.legal_entity = seller
    invoice.issued_at = now
    invoice.issued_on = now.astimezone(zone).date()
    invoice.tax_point_on = invoice.period_until_at.astimezone(zone).date()
    invoice.due_on = invoice.issued_on + timedelta(days=seller.payment_terms_days)
    invoice.seller = seller_facts(seller)
    invoice.buyer = buyer_facts(tenant)
    invoice.series = seller.series
    invoice.year = invoice.issued_on.year
    invoice.sequence = _next_number(seller=seller, year=invoice.year)
    invoice.number = f"{invoice.series}-{invoice.year}-{invoice.sequence:06d}"
    invoice.save()


def _next_number(*, seller: LegalEntity, year: int) -> int:
    """The next in the series. The row stays locked until commit, so a roll-back leaves no gap and nobody overtakes."""
    name = {"legal_entity": seller, "series": seller.series, "year": year}
    InvoiceSeries.objects.bulk_create([InvoiceSeries(**name)], ignore_conflicts=True)
    counter = InvoiceSeries.objects.select_for_update(of=("self",), no_key=True).get(**name)
    counter.last_number += 1
    counter.save(update_fields=["last_number"])
    return counter.last_number


def _post(invoice: Invoice, *, actor: Actor, at: datetime) -> None:
    """What was accrued is now owed, and its tax with it, to the country whose rate it bears."""
    postings = [
        (_own(invoice, AccountKind.RECEIVABLE), invoice.gross),
        (_own(invoice, AccountKind.ACCRUED), -invoice.net),
    ]
    for part in invoice.tax_summary:
        owed_to = ledger.account(kind=AccountKind.TAX, currency=invoice.currency, country=part["country"])
        postings.append((owed_to, -Decimal(part["tax"])))
    ledger.post(
        key=f"issue:{invoice.ref}",
        kind="invoice_issued",
        tenant_id=invoice.tenant_id,
        subject_ref=invoice.ref,
        reservation_ref=invoice.reservation_ref,
        memo=invoice.number or "",
        postings=postings,
        actor=actor,
        occurred_at=at,
    )


def _free_holds(invoice: Invoice, *, at: datetime) -> None:
    refs = InvoiceLine.objects.filter(invoice=invoice).values_list("usage__reservation_ref", flat=True).distinct()
    holds = Hold.objects.select_for_update(of=("self",), no_key=True).filter(
        reservation_ref__in=list(refs), released_at=None
    )
    settle_holds(list(holds.order_by("pk")), at=at)


def _own(invoice: Invoice, kind: AccountKind) -> LedgerAccount:
    return ledger.account(kind=kind, currency=invoice.currency, tenant_id=invoice.tenant_id)


def seller_facts(seller: LegalEntity) -> dict[str, Any]:
    """The seller as it stands on the document."""
    fields = (
        "ref", "legal_name", "address_line", "postal_code", "city", "country", "company_id", "vat_id", "register_note",
        "billing_email", "bank_account", "bank_bic", "time_zone",
    )  # fmt: skip
    return {name: getattr(seller, name) for name in fields}


def buyer_facts(tenant: Tenant) -> dict[str, Any]:
    """The buyer as it stands on the document."""
    fields = (
        "ref", "legal_name", "address_line", "postal_code", "city", "country", "vat_id", "vat_id_state", "is_business",
        "billing_email",
    )  # fmt: skip
    return {name: getattr(tenant, name) for name in fields}
