"""Forms of this room; the portal draws them. Each hands plain values to one service."""

from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts import selectors
from accounts.countries import COUNTRIES
from accounts.models import LegalDocument, Tenant
from accounts.roles import Role, Scope
from accounts.services import TenantFacts
from common.clock import database_now
from common.errors import DomainError


class TenantFactsForm(forms.Form):
    """The buyer as invoices name it. ``facts()`` after ``is_valid()``."""

    legal_name = forms.CharField(label=_("Legal name"), max_length=200, help_text=_("As in the commercial register"))
    address_line = forms.CharField(label=_("Street and number"), max_length=200)
    postal_code = forms.CharField(label=_("Postal code"), max_length=20)
    city = forms.CharField(label=_("City"), max_length=100)
    country = forms.ChoiceField(label=_("Country"))
    vat_id = forms.CharField(
        label=_("VAT id"),
        max_length=20,
        required=False,
        help_text=_("Checked for its form now and with VIES later; until then tax is charged as at home"),
    )
    is_business = forms.BooleanField(label=_("We buy as a business"), required=False, initial=True)
    billing_email = forms.EmailField(label=_("E-mail for invoices"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        autocomplete = {
            "legal_name": "organization",
            "address_line": "street-address",
            "postal_code": "postal-code",
            "city": "address-level2",
            "country": "country",
            "billing_email": "email",
        }
        for name, value in autocomplete.items():
            self.fields[name].widget.attrs["autocomplete"] = value
        countries = sorted(((code, str(name)) for code, name in COUNTRIES.items()), key=lambda item: item[1])
        country = self.fields["country"]
        assert isinstance(country, forms.ChoiceField)  # noqa: S101 - declared as such above
        country.choices = [("", _("Choose a country")), *countries]

    def clean(self) -> dict[str, Any]:
        super().clean()
        if not self.errors:
            try:
                self.checked_facts = self.facts().checked()
            except DomainError as error:
                self.add_domain_error(error)
        return self.cleaned_data

    def facts(self) -> TenantFacts:
        return TenantFacts(**{name: self.cleaned_data[name] for name in TenantFactsForm.base_fields})

    def add_domain_error(self, error: DomainError) -> None:
        """Show a service's refusal beside the field that it names, with its hint."""
        field = error.context.get("field")
        text = f"{error.message} ({error.hint})" if error.hint else error.message
        self.add_error(field if field in self.fields else None, text)

    @staticmethod
    def initial_of(tenant: Tenant) -> dict[str, Any]:
        return {name: getattr(tenant, name) for name in TenantFactsForm.base_fields}


class TenantForm(TenantFactsForm):
    """Signing an organisation up: its facts, and one box to tick per document in force.

    The version shown travels in a hidden field: a text that changed while the page was open must be read again.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.documents: list[LegalDocument] = selectors.documents_in_force(on=database_now().date())
        for item in self.documents:
            self.fields[f"accept_{item.kind}"] = forms.BooleanField(
                label=_("We accept: %(document)s") % {"document": item},
                error_messages={"required": _("This must be accepted to go on.")},
            )
            self.fields[f"shown_{item.kind}"] = forms.IntegerField(initial=item.pk, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        super().clean()
        for item in self.documents:
            if f"shown_{item.kind}" in self.cleaned_data and self.cleaned_data[f"shown_{item.kind}"] != item.pk:
                shown = {self.add_prefix(f"shown_{item.kind}"): str(item.pk)}
                self.data = {**{name: self.data.get(name) for name in self.data}, **shown}
                self.add_error(f"accept_{item.kind}", _("A newer version is in force since; please read it again."))
        return self.cleaned_data

    def acceptance_rows(self) -> list[tuple[LegalDocument, forms.BoundField, forms.BoundField]]:
        """(document, tick box, hidden version) for the template."""
        return [(item, self[f"accept_{item.kind}"], self[f"shown_{item.kind}"]) for item in self.documents]

    def accepted_document_ids(self) -> list[int]:
        return [item.pk for item in self.documents if self.cleaned_data.get(f"accept_{item.kind}")]


class SshKeyForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80, required=False, help_text=_("Empty: the key's comment"))
    public_key = forms.CharField(
        label=_("Public key"),
        max_length=12_000,
        help_text=_("One line, as in ~/.ssh/id_ed25519.pub"),
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false", "autocomplete": "off", "autocapitalize": "off"}),
    )


class ApiKeyForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80)
    scopes = forms.MultipleChoiceField(label=_("Scopes"), choices=Scope, widget=forms.CheckboxSelectMultiple)
    expires_on = forms.DateField(
        label=_("Valid until"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("Empty: a year"),
    )

    def expires_at(self) -> datetime | None:
        """The end of the chosen day, UTC."""
        day = self.cleaned_data["expires_on"]
        return datetime.combine(day, time(23, 59, 59), tzinfo=UTC) if day else None


class InvitationForm(forms.Form):
    email = forms.EmailField(label=_("E-mail address"))
    role = forms.ChoiceField(label=_("Role"), choices=Role, initial=Role.ENGINEER)


class RoleForm(forms.Form):
    role = forms.ChoiceField(label=_("Role"), choices=Role)
