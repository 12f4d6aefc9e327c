"""Invoices: a draft may grow; an issued one has a number and is frozen by the database."""

from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from billing.models.fields import amount_field, currency_field, percent_field, rate_field
from billing.models.tax import LegalEntity, TaxTreatment
from billing.models.usage import UsageInterval
from billing.states import InvoiceState
from common.ids import new_ref
from common.money import Money
from common.tenancy import TenantOwnedModel


def invoice_ref() -> str:
    return new_ref("inv")


class InvoiceSeries(models.Model):
    """The last number given in a series and year. Its row lock is what makes numbers gapless."""

    legal_entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, related_name="+")
    series = models.CharField(max_length=10)
    year = models.PositiveIntegerField()
    last_number = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "invoice series"
        constraints = [
            models.UniqueConstraint(fields=["legal_entity", "series", "year"], name="one_counter_per_series_and_year")
        ]

    def __str__(self) -> str:
        return f"{self.series}-{self.year}: {self.last_number}"


class Invoice(TenantOwnedModel):
    """What one tenant owes one seller for one period. Seller, buyer and tax facts are copied at issue."""

    ref = models.CharField(max_length=40, unique=True, default=invoice_ref, editable=False)
    state = models.CharField(max_length=8, choices=InvoiceState, default=InvoiceState.DRAFT, db_index=True)
    state_changed_at = models.DateTimeField(db_default=Now())
    legal_entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, null=True, related_name="+")
    reservation_ref = models.CharField(max_length=40, blank=True, default="", db_index=True)
    currency = currency_field()
    period_from_at = models.DateTimeField()
    period_until_at = models.DateTimeField()
    net = amount_field(default=Decimal(0))
    tax = amount_field(default=Decimal(0))
    gross = amount_field(default=Decimal(0))
    tax_summary = models.JSONField(
        default=list, help_text=_("Per treatment and rate: taxable amount, tax, and the words the law wants")
    )
    drafted_at = models.DateTimeField()
    series = models.CharField(max_length=10, blank=True, default="")
    year = models.PositiveIntegerField(null=True)
    sequence = models.PositiveIntegerField(null=True)
    number = models.CharField(_("number"), max_length=40, null=True)
    seller = models.JSONField(default=dict)
    buyer = models.JSONField(default=dict)
    issued_at = models.DateTimeField(null=True)
    issued_on = models.DateField(null=True)
    tax_point_on = models.DateField(null=True)
    due_on = models.DateField(null=True, db_index=True)

    class Meta:
        ordering = ["-drafted_at", "-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(gross=models.F("net") + models.F("tax")), name="invoice_adds_up"),
            models.CheckConstraint(
                condition=Q(state=InvoiceState.DRAFT)
                | Q(number__isnull=False, issued_at__isnull=False, legal_entity__isnull=False),
                name="issued_invoice_has_a_number",
            ),
            models.UniqueConstraint(fields=["legal_entity", "number"], name="one_invoice_per_number"),
            models.UniqueConstraint(
                fields=["legal_entity", "series", "year", "sequence"], name="one_invoice_per_sequence"
            ),
        ]

    def __str__(self) -> str:
        return self.number or f"{self.ref} ({_('draft')})"

    @property
    def total(self) -> Money:
        return Money(self.gross, self.currency)


class InvoiceLine(models.Model):
    """One line: the seconds of one usage interval at its rate, rounded once to the cent."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines")
    position = models.PositiveIntegerField()
    usage = models.OneToOneField(UsageInterval, on_delete=models.PROTECT, related_name="invoice_line")
    description = models.CharField(max_length=300)
    from_at = models.DateTimeField()
    until_at = models.DateTimeField()
    seconds = models.BigIntegerField()
    gpu_count = models.PositiveIntegerField()
    rate = rate_field()
    net = amount_field()
    tax_treatment = models.CharField(max_length=20, choices=TaxTreatment)
    tax_country = models.CharField(max_length=2, blank=True, default="")
    tax_percent = percent_field()
    tax_note = models.TextField()

    class Meta:
        ordering = ["invoice", "position"]
        constraints = [models.UniqueConstraint(fields=["invoice", "position"], name="one_line_per_position")]

    def __str__(self) -> str:
        return f"{self.position}. {self.description}"
