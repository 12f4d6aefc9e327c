"""Prices, usage, ledger, invoices, charges. Prices are added and ended; all else is shown, or acted on by a service."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from billing import services
from billing.models import (
    Charge,
    Hold,
    Invoice,
    InvoiceLine,
    LedgerAccount,
    LedgerEntry,
    LedgerTransaction,
    LegalEntity,
    Price,
    PriceSnapshot,
    TaxRate,
    UsageInterval,
)
from common.clock import database_now
from common.errors import DomainError
from operations.base import OperatorAdmin, ReadOnlyAdmin, ReadOnlyInline, note, reasoned, staff_actor


class InvoiceLineInline(ReadOnlyInline):
    model = InvoiceLine
    fields = readonly_fields = ("position", "description", "seconds", "gpu_count", "rate", "net", "tax_treatment")


@admin.register(Invoice)
class InvoiceAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "show_state", "tenant", "net", "tax", "gross", "issued_at", "due_on")
    list_filter = ("state",)
    search_fields = ("ref", "number", "tenant__legal_name", "reservation_ref")
    list_select_related = ("tenant",)
    inlines = (InvoiceLineInline,)
    actions_detail = ("issue",)

    @display(
        description=_("state"), label={"draft": "warning", "issued": "info", "paid": "success", "overdue": "danger"}
    )
    def show_state(self, invoice: Invoice) -> str:
        return invoice.state

    @reasoned(
        description=_("Issue"),
        explanation=_("Gives the invoice its number for good. It can only be corrected by a credit note afterwards."),
        icon="receipt_long",
    )
    def issue(self, request: HttpRequest, reason: str, object_id: int) -> None:
        invoice = Invoice.objects.get(pk=object_id)
        note(request, subject_ref=invoice.ref, kind="invoice.issue_requested", reason=reason)
        services.issue_invoice(invoice=invoice, actor=staff_actor(request))


class PriceForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """Adds the price by its service while it is checked: a refusal is the form's own error, nothing typed is lost."""

    request: HttpRequest

    class Meta:
        model = Price
        fields = ("site", "node_type", "rate", "currency", "valid_from_at", "valid_until_at")

    def clean(self) -> dict[str, Any] | None:
        super().clean()
        if self.errors:
            return self.cleaned_data
        facts = dict(self.cleaned_data)
        facts["valid_from_at"] = max(facts["valid_from_at"], database_now())
        try:
            with transaction.atomic():
                self.instance = services.add_price(**facts, actor=staff_actor(self.request))
        except DomainError as error:
            raise forms.ValidationError(f"{error.message}. {error.hint}") from error
        return self.cleaned_data

    def _post_clean(self) -> None:
        """The service has checked and saved it already."""


@admin.register(Price)
class PriceAdmin(OperatorAdmin):
    """A price that has started can be ended but not edited; the database says so too."""

    form = PriceForm
    list_display = ("node_type", "site", "rate", "currency", "valid_from_at", "valid_until_at")
    list_filter = ("site", "node_type")
    list_select_related = ("site", "node_type")
    actions_detail = ("end_now",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002 - Django's signature
        made = super().get_form(request, obj, change, **kwargs)
        made.request = request
        return made

    def save_model(self, request: HttpRequest, obj: Price, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        """Saved and logged by the form."""

    @reasoned(
        description=_("End now"),
        explanation=_("Nothing is sold at this price from now on; quotes and reservations made from it keep it."),
        icon="event_busy",
        danger=True,
    )
    def end_now(self, request: HttpRequest, reason: str, object_id: int) -> None:
        price = Price.objects.get(pk=object_id)
        note(request, subject_ref=price.ref, kind="price.end_requested", reason=reason)
        services.end_price(price=price, at=database_now(), actor=staff_actor(request))


class EntryInline(ReadOnlyInline):
    model = LedgerEntry
    fields = readonly_fields = ("account", "amount")


@admin.register(LedgerTransaction)
class LedgerTransactionAdmin(ReadOnlyAdmin):
    list_display = ("ref", "kind", "tenant", "subject_ref", "memo", "occurred_at", "posted_at")
    list_filter = ("kind",)
    search_fields = ("ref", "subject_ref", "reservation_ref", "tenant__legal_name")
    list_select_related = ("tenant",)
    inlines = (EntryInline,)


@admin.register(LedgerAccount)
class LedgerAccountAdmin(ReadOnlyAdmin):
    list_display = ("kind", "tenant", "pool_code", "country", "currency")
    list_filter = ("kind",)
    list_select_related = ("tenant",)


@admin.register(UsageInterval)
class UsageIntervalAdmin(ReadOnlyAdmin):
    list_display = (
        "reservation_ref",
        "tenant",
        "node_ref",
        "node_type_code",
        "gpu_count",
        "site_code",
        "from_at",
        "until_at",
        "net_amount",
    )
    search_fields = ("reservation_ref", "node_ref", "tenant__legal_name")
    list_select_related = ("tenant",)


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    list_display = ("reservation_ref", "tenant", "amount", "currency", "placed_at", "renewed_at", "released_at")
    search_fields = ("reservation_ref", "tenant__legal_name")
    list_select_related = ("tenant",)


@admin.register(Charge)
class ChargeAdmin(ReadOnlyAdmin):
    list_display = ("ref", "state", "tenant", "amount", "currency", "requested_at")
    list_filter = ("state",)
    search_fields = ("ref", "tenant__legal_name")
    list_select_related = ("tenant",)


@admin.register(PriceSnapshot)
class PriceSnapshotAdmin(ReadOnlyAdmin):
    list_display = ("ref", "tenant", "rate", "currency", "tax_treatment")
    list_select_related = ("tenant",)


@admin.register(TaxRate)
class TaxRateAdmin(OperatorAdmin):
    list_display = ("country", "percent", "valid_from_on", "valid_until_on", "source")
    list_filter = ("country",)


@admin.register(LegalEntity)
class LegalEntityAdmin(OperatorAdmin):
    list_display = ("legal_name", "country", "vat_id")
