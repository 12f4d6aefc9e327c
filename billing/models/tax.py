"""Who sells, and at which tax rates: dated data, each row with its source."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from billing.models.fields import percent_field
from common.ids import new_ref


def entity_ref() -> str:
    return new_ref("ent")


class TaxTreatment(models.TextChoices):
    """How a supply is taxed; what an invoice must say about it is in ``billing.tax``."""

    DOMESTIC = "domestic", _("Taxed at the seller's domestic rate")
    REVERSE_CHARGE = "reverse_charge", _("Reverse charge: the customer accounts for the tax")
    EU_CONSUMER = "eu_consumer", _("Taxed at the rate of the consumer's country (one-stop shop)")
    OUTSIDE_SCOPE = "outside_scope", _("Outside the scope of EU VAT")


class LegalEntity(models.Model):
    """A seller: the company that invoices are issued by."""

    ref = models.CharField(max_length=40, unique=True, default=entity_ref, editable=False)
    legal_name = models.CharField(_("legal name"), max_length=200)
    address_line = models.CharField(_("street and number"), max_length=200)
    postal_code = models.CharField(_("postal code"), max_length=20)
    city = models.CharField(_("city"), max_length=100)
    country = models.CharField(_("country"), max_length=2, help_text=_("ISO 3166-1 alpha-2"))
    company_id = models.CharField(_("company registration number"), max_length=40, blank=True, default="")
    vat_id = models.CharField(_("VAT id"), max_length=20, blank=True, default="")
    register_note = models.CharField(_("register entry"), max_length=200, blank=True, default="")
    billing_email = models.EmailField(_("e-mail for billing"))
    bank_account = models.CharField(_("bank account (IBAN)"), max_length=40, blank=True, default="")
    bank_bic = models.CharField(_("bank (BIC)"), max_length=11, blank=True, default="")
    series = models.CharField(_("series of its invoices"), max_length=10, default="INV")
    time_zone = models.CharField(_("time zone of its dates"), max_length=40, default="Europe/Prague")
    payment_terms_days = models.PositiveIntegerField(_("days to pay"), default=14)
    is_oss_registered = models.BooleanField(_("registered for the EU one-stop shop"), default=False)
    is_default = models.BooleanField(_("sells by default"), default=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "legal entities"
        constraints = [
            models.UniqueConstraint(fields=["is_default"], condition=Q(is_default=True), name="one_default_seller"),
        ]

    def __str__(self) -> str:
        return self.legal_name


class TaxRate(models.Model):
    """The standard VAT rate of a country over a period of days ``[valid_from_on, valid_until_on)``; never two a day."""

    country = models.CharField(_("country"), max_length=2)
    percent = percent_field()
    valid_from_on = models.DateField(_("in force from"))
    valid_until_on = models.DateField(_("no longer in force on"), null=True, blank=True)
    source = models.CharField(_("source"), max_length=300)

    class Meta:
        ordering = ["country", "valid_from_on"]
        constraints = [
            models.CheckConstraint(condition=Q(percent__gte=0, percent__lt=100), name="tax_rate_is_a_percentage"),
            models.CheckConstraint(
                condition=Q(valid_until_on=None) | Q(valid_until_on__gt=F("valid_from_on")),
                name="tax_rate_ends_after_it_starts",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.country} {self.percent} %"
