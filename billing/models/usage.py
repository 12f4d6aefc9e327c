"""What was used: one row per node and stretch of time between two changes of state."""

from datetime import datetime
from decimal import Decimal

from django.contrib.postgres.constraints import ExclusionConstraint
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Now

from billing.models.fields import amount_field, currency_field, rate_field
from billing.models.ledger import LedgerTransaction
from billing.models.price import PriceSnapshot
from billing.states import UsageState
from common.ids import new_ref
from common.money import Money
from common.tenancy import TenantOwnedModel


def usage_ref() -> str:
    return new_ref("use")


class UsageInterval(TenantOwnedModel):
    """One node in a tenant's hands over ``[from_at, until_at)``, whole seconds; open while ``until_at`` is null.

    It carries every dimension that prices it, so that it can be rated, exported and argued about on its own. Two
    columns and no range: an interval of zero seconds keeps its place in time. Nodes, sites, pools and reservations
    are plain values, because their rooms lie beside or above this one or may change their names.
    """

    ref = models.CharField(max_length=40, unique=True, default=usage_ref, editable=False)
    state = models.CharField(max_length=6, choices=UsageState, default=UsageState.OPEN)
    state_changed_at = models.DateTimeField(db_default=Now())
    reservation_ref = models.CharField(max_length=40, db_index=True)
    project_ref = models.CharField(max_length=40, blank=True, default="")
    node_id = models.BigIntegerField()
    node_ref = models.CharField(max_length=40)
    node_type_code = models.CharField(max_length=40)
    site_code = models.CharField(max_length=40)
    pool_code = models.CharField(max_length=40)
    gpu_count = models.PositiveIntegerField()
    snapshot = models.ForeignKey(PriceSnapshot, on_delete=models.PROTECT, related_name="usage")
    rate = rate_field()
    currency = currency_field()
    from_at = models.DateTimeField()
    until_at = models.DateTimeField(null=True)
    net_amount = amount_field(null=True)
    settled_by = models.ForeignKey(LedgerTransaction, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["from_at", "pk"]
        indexes = [
            models.Index(fields=["tenant", "from_at"], name="usage_of_tenant"),
            models.Index(fields=["reservation_ref"], name="usage_running", condition=Q(until_at=None)),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(gpu_count__gt=0), name="usage_has_gpus"),
            models.CheckConstraint(
                condition=Q(until_at=None) | Q(until_at__gte=F("from_at")), name="usage_ends_after_it_starts"
            ),
            models.CheckConstraint(
                condition=Q(until_at=None, net_amount=None, settled_by=None)
                | Q(until_at__isnull=False, net_amount__isnull=False),
                name="usage_is_rated_when_it_ends",
            ),
            ExclusionConstraint(
                name="one_usage_of_a_node_at_a_time",
                expressions=[
                    (Func("node_id", "node_id", Value("[]"), function="int8range"), "&&"),
                    (Func("from_at", "until_at", Value("[)"), function="tstzrange"), "&&"),
                ],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.node_ref} {self.from_at:%Y-%m-%d %H:%M:%S}"

    def seconds(self, *, at: datetime) -> int:
        """Whole seconds used until ``at``, or until its end."""
        end_at = at if self.until_at is None else min(self.until_at, at)
        return max(0, int((end_at - self.from_at).total_seconds()))

    @property
    def net(self) -> Money | None:
        """What it came to, None while it is open."""
        amount: Decimal | None = self.net_amount
        return None if amount is None else Money(amount, self.currency)
