"""The price book, and the promises made from it."""

from datetime import datetime

from django.contrib.postgres.constraints import ExclusionConstraint
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from billing.models.fields import currency_field, percent_field, rate_field
from billing.models.tax import TaxTreatment
from common.ids import new_ref
from common.money import Money
from common.tenancy import TenantOwnedModel


def price_ref() -> str:
    return new_ref("prc")


def snapshot_ref() -> str:
    return new_ref("psn")


def _one(column: str) -> Func:
    """A range of one key: equality that a plain gist index can exclude on, without an extension."""
    return Func(column, column, Value("[]"), function="int8range")


class Price(models.Model):
    """What an hour of one GPU costs, net, over ``[valid_from_at, valid_until_at)``.

    Once it has started, only its end can be set, and only to a moment that is still to come: the database says so.
    """

    ref = models.CharField(max_length=40, unique=True, default=price_ref, editable=False)
    site = models.ForeignKey("inventory.Site", on_delete=models.PROTECT, related_name="+")
    node_type = models.ForeignKey("inventory.NodeType", on_delete=models.PROTECT, related_name="+")
    rate = rate_field(verbose_name=_("net price per GPU-hour"))
    currency = currency_field()
    valid_from_at = models.DateTimeField(_("in force from"))
    valid_until_at = models.DateTimeField(_("no longer in force at"), null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["site", "node_type", "-valid_from_at"]
        constraints = [
            models.CheckConstraint(condition=Q(rate__gt=0), name="price_is_positive"),
            models.CheckConstraint(
                condition=Q(valid_until_at=None) | Q(valid_until_at__gte=F("valid_from_at")),
                name="price_ends_after_it_starts",
            ),
            ExclusionConstraint(
                name="one_price_at_a_time",
                expressions=[
                    (_one("site_id"), "&&"),
                    (_one("node_type_id"), "&&"),
                    (Func("valid_from_at", "valid_until_at", Value("[)"), function="tstzrange"), "&&"),
                ],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rate} {self.currency} per GPU-hour"

    def in_force_at(self, at: datetime) -> bool:
        return self.valid_from_at <= at and (self.valid_until_at is None or at < self.valid_until_at)

    def hourly_of(self, *, gpu_count: int) -> Money:
        """Net per hour of ``gpu_count`` GPUs, not rounded."""
        return Money(self.rate * gpu_count, self.currency)


class PriceSnapshot(TenantOwnedModel):
    """The price and the tax facts promised to one tenant at one moment. Never changed (the database says so)."""

    ref = models.CharField(max_length=40, unique=True, default=snapshot_ref, editable=False)
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="+")
    rate = rate_field()
    currency = currency_field()
    tax_treatment = models.CharField(max_length=20, choices=TaxTreatment)
    tax_country = models.CharField(
        max_length=2, blank=True, default="", help_text=_("Whose rate; empty where none is due")
    )
    tax_percent = percent_field()
    tax_note = models.TextField(help_text=_("What the invoice says about the tax"))
    frozen_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.rate} {self.currency} per GPU-hour, {self.get_tax_treatment_display()}"
