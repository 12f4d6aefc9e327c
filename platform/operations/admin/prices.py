"""The price book, tax rates and sellers. A price is added and ended by its service, and never edited."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from billing import services
from billing.models import LegalEntity, Price, PriceSnapshot, TaxRate
from common.clock import database_now
from common.errors import DomainError
from operations.acts import Values, note, reasoned, said
from operations.base import OperatorAdmin, ReadOnlyAdmin, shown, staff_actor

JUST_NOW = timedelta(minutes=10)
"""Filling in the form takes its time: a start this little ago means at once."""


class PriceForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """Adds the price by its service while it is checked: a refusal is the form's own error, nothing typed is lost."""

    request: HttpRequest

    class Meta:
        model = Price
        fields = ("site", "node_type", "rate", "currency", "valid_from_at", "valid_until_at")
        help_texts = {
            "rate": _("Net, per GPU and hour, up to six decimals."),
            "valid_from_at": _("Empty: from now on."),
            "valid_until_at": _("Empty: until it is ended."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "valid_from_at" in self.fields:
            self.fields["valid_from_at"].required = False

    def clean(self) -> dict[str, Any] | None:
        super().clean()
        if self.errors:
            return self.cleaned_data
        facts = dict(self.cleaned_data)
        start, now = facts["valid_from_at"], database_now()
        if start is not None and now - JUST_NOW <= start <= now:
            facts["valid_from_at"] = None
        try:
            with transaction.atomic():
                self.instance = services.add_price(**facts, actor=staff_actor(self.request))
        except DomainError as error:
            field = str(error.context.get("field", ""))
            self.add_error(field if field in self.fields else None, forms.ValidationError(said(error)))
        return self.cleaned_data

    def _post_clean(self) -> None:
        """The service has checked and saved it already."""


@admin.register(Price)
class PriceAdmin(OperatorAdmin):
    """A price that has started can be ended but not edited; the database says so too."""

    form = PriceForm
    list_display = ("node_type", "site", "rate", "currency", "show_force", "valid_from_at", "valid_until_at")
    list_filter = ("site", "node_type")
    list_select_related = ("site", "node_type")
    search_fields = ("ref", "site__code", "node_type__code")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("site", "node_type"),
                    ("rate", "currency"),
                    "valid_from_at",
                    "valid_until_at",
                )
            },
        ),
    )
    actions_detail = ("end_now",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002 - Django's signature
        made = super().get_form(request, obj, change, **kwargs)
        made.request = request
        return made

    def save_model(self, request: HttpRequest, obj: Price, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        """Saved and logged by the form."""

    @shown(description=_("in force"), label={"now": "success", "later": "info", "over": "warning"})
    def show_force(self, price: Price) -> tuple[str, Any]:
        now = timezone.now()
        if price.in_force_at(now):
            return "now", _("now")
        return ("later", _("later")) if price.valid_from_at > now else ("over", _("over"))

    @reasoned(
        description=_("End now"),
        explanation=_("Nothing is sold at this price from now on; quotes and reservations made from it keep it."),
        icon="event_busy",
        danger=True,
        when=lambda price: price.valid_until_at is None or price.valid_until_at > timezone.now(),
    )
    def end_now(self, request: HttpRequest, price: Price, values: Values) -> None:
        note(request, subject_ref=price.ref, kind="price.end_requested", reason=values["reason"])
        services.end_price(price=price, at=database_now(), actor=staff_actor(request))


@admin.register(PriceSnapshot)
class PriceSnapshotAdmin(ReadOnlyAdmin):
    list_display = ("ref", "tenant", "rate", "currency", "tax_treatment", "frozen_at")
    list_filter = ("tax_treatment",)
    search_fields = ("ref", "tenant__legal_name")
    list_select_related = ("tenant",)
    ordering = ("-pk",)


@admin.register(TaxRate)
class TaxRateAdmin(OperatorAdmin):
    list_display = ("country", "percent", "valid_from_on", "valid_until_on", "source")
    list_filter = ("country",)
    search_fields = ("country",)
    ordering = ("country", "-valid_from_on")
    locked_once_added = ("country", "percent", "valid_from_on")


@admin.register(LegalEntity)
class LegalEntityAdmin(OperatorAdmin):
    list_display = ("legal_name", "country", "vat_id", "series", "show_default")
    search_fields = ("legal_name", "vat_id")
    readonly_fields = ("ref", "created_at")
    fieldsets = (
        (None, {"fields": ("legal_name", "is_default")}),
        (_("Address"), {"fields": (("address_line", "postal_code"), ("city", "country"), "billing_email")}),
        (_("Register and tax"), {"fields": (("company_id", "vat_id"), ("register_note", "is_oss_registered"))}),
        (_("Bank"), {"fields": (("bank_account", "bank_bic"),)}),
        (_("Invoices"), {"fields": (("series", "payment_terms_days"), ("time_zone", "ref"), "created_at")}),
    )

    @shown(description=_("sells"), label={"default": "success"})
    def show_default(self, entity: LegalEntity) -> tuple[str, Any] | None:
        return ("default", _("by default")) if entity.is_default else None
