"""Invoices, usage, ledger, holds, charges: shown; an invoice is issued by its service."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from billing import services
from billing.models import (
    Charge,
    CreditLine,
    Hold,
    Invoice,
    InvoiceLine,
    LedgerAccount,
    LedgerEntry,
    LedgerTransaction,
    UsageInterval,
)
from billing.states import ChargeState, InvoiceState
from operations.acts import Values, note, reasoned, state_in
from operations.base import ReadOnlyAdmin, ReadOnlyInline, shown, staff_actor

INVOICE_TONES = {
    InvoiceState.DRAFT: "warning",
    InvoiceState.ISSUED: "info",
    InvoiceState.PAID: "success",
    InvoiceState.OVERDUE: "danger",
}
CHARGE_TONES = {ChargeState.SUCCEEDED: "success", ChargeState.PENDING: "info"}


class InvoiceLineInline(ReadOnlyInline):
    model = InvoiceLine
    verbose_name_plural = _("lines")
    fields = readonly_fields = ("position", "description", "seconds", "gpu_count", "rate", "net", "tax_percent")
    ordering = ("position",)
    tab = False


@admin.register(Invoice)
class InvoiceAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "show_state", "tenant", "net", "tax", "gross", "currency", "issued_at", "due_on")
    list_filter = ("state",)
    search_fields = ("ref", "number", "tenant__legal_name", "reservation_ref")
    list_select_related = ("tenant",)
    readonly_fields = ("show_state",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("number", "show_state"),
                    ("tenant", "reservation_ref"),
                    ("period_from_at", "period_until_at"),
                    ("net", "tax"),
                    ("gross", "currency"),
                )
            },
        ),
        (
            _("Dates"),
            {
                "classes": ["tab"],
                "fields": (("drafted_at", "issued_at"), ("issued_on", "due_on"), ("tax_point_on", "ref")),
            },
        ),
        (_("Copied at issue"), {"classes": ["tab"], "fields": ("legal_entity", "seller", "buyer", "tax_summary")}),
    )
    inlines = (InvoiceLineInline,)
    actions_detail = ("issue",)

    @shown(description=_("state"), label=INVOICE_TONES, ordering="state")
    def show_state(self, invoice: Invoice) -> str:
        return invoice.state

    @reasoned(
        description=_("Issue"),
        explanation=_("Gives the invoice its number for good. It can only be corrected by a credit note afterwards."),
        icon="receipt_long",
        when=state_in(InvoiceState.DRAFT),
    )
    def issue(self, request: HttpRequest, invoice: Invoice, values: Values) -> None:
        note(request, subject_ref=invoice.ref, kind="invoice.issue_requested", reason=values["reason"])
        services.issue_invoice(invoice=invoice, actor=staff_actor(request))


class EntryInline(ReadOnlyInline):
    model = LedgerEntry
    verbose_name_plural = _("entries")
    fields = readonly_fields = ("account", "amount")
    related = ("account",)
    tab = False


@admin.register(LedgerTransaction)
class LedgerTransactionAdmin(ReadOnlyAdmin):
    list_display = ("ref", "kind", "tenant", "subject_ref", "memo", "occurred_at")
    list_filter = ("kind",)
    search_fields = ("ref", "subject_ref", "reservation_ref", "tenant__legal_name")
    list_select_related = ("tenant",)
    inlines = (EntryInline,)


@admin.register(LedgerAccount)
class LedgerAccountAdmin(ReadOnlyAdmin):
    list_display = ("kind", "tenant", "pool_code", "country", "currency")
    list_filter = ("kind",)
    search_fields = ("tenant__legal_name", "pool_code")
    list_select_related = ("tenant",)


@admin.register(UsageInterval)
class UsageIntervalAdmin(ReadOnlyAdmin):
    list_display = (
        "reservation_ref",
        "show_state",
        "tenant",
        "node_type_code",
        "gpu_count",
        "site_code",
        "from_at",
        "until_at",
        "net_amount",
    )
    list_filter = ("state", "site_code", "node_type_code")
    search_fields = ("reservation_ref", "node_ref", "tenant__legal_name")
    list_select_related = ("tenant",)
    ordering = ("-pk",)

    @shown(description=_("state"), label={"open": "info"}, ordering="state")
    def show_state(self, usage: UsageInterval) -> str:
        return usage.state


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    list_display = ("reservation_ref", "tenant", "amount", "currency", "show_life", "placed_at", "renewed_at")
    list_filter = (("released_at", admin.EmptyFieldListFilter),)
    search_fields = ("reservation_ref", "tenant__legal_name")
    list_select_related = ("tenant",)
    ordering = ("-pk",)

    @shown(description=_("state"), label={"held": "info", "exhausted": "danger"})
    def show_life(self, hold: Hold) -> tuple[str, Any]:
        if hold.released_at is not None:
            return "released", _("released")
        return ("exhausted", _("exhausted")) if hold.exhausted_at is not None else ("held", _("held"))


@admin.register(Charge)
class ChargeAdmin(ReadOnlyAdmin):
    list_display = ("ref", "show_state", "tenant", "purpose", "amount", "currency", "requested_at", "failure_code")
    list_filter = ("state", "purpose")
    search_fields = ("ref", "tenant__legal_name", "payment_ref")
    list_select_related = ("tenant",)
    exclude = ("idempotency_key",)

    @shown(description=_("state"), label=CHARGE_TONES, ordering="state")
    def show_state(self, charge: Charge) -> str:
        return charge.state


@admin.register(CreditLine)
class CreditLineAdmin(ReadOnlyAdmin):
    list_display = ("tenant", "source", "limit", "currency", "reason", "opened_at", "closed_at")
    list_filter = ("source", ("closed_at", admin.EmptyFieldListFilter))
    search_fields = ("tenant__legal_name",)
    list_select_related = ("tenant",)
    ordering = ("-pk",)
