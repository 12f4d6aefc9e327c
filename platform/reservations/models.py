"""Quotes, reservations and the rows that promise a node for a time."""

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Project
from billing.models import PriceSnapshot
from common import vault
from common.ids import new_ref
from common.tenancy import TenantOwnedModel
from inventory.models import Image, Node, NodeType, Site
from reservations.states import QuoteState, ReservationState

USER_DATA = vault.register_column(
    model="reservations.Reservation", field="user_data_sealed", context="reservations.user_data"
)


def quote_ref() -> str:
    return new_ref("quo")


def reservation_ref() -> str:
    return new_ref("res")


class Quote(TenantOwnedModel):
    """An offer: nodes of one type at one site, their price and terms frozen until ``expires_at``."""

    ref = models.CharField(max_length=40, unique=True, default=quote_ref, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="+")
    request = models.JSONField(help_text=_("What was asked for, as it was asked"))
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="+")
    node_type = models.ForeignKey(NodeType, on_delete=models.PROTECT, related_name="+")
    node_count = models.PositiveIntegerField()
    starts_at = models.DateTimeField(null=True, help_text=_("Null: as soon as it is reserved"))
    ends_at = models.DateTimeField(null=True)
    max_spend = models.DecimalField(max_digits=12, decimal_places=2, null=True, help_text=_("Cap, net EUR"))
    price_snapshot = models.ForeignKey(PriceSnapshot, on_delete=models.PROTECT, related_name="+")
    estimate = models.JSONField()
    decision = models.JSONField()
    state = models.CharField(max_length=12, choices=QuoteState, default=QuoteState.OPEN)
    state_changed_at = models.DateTimeField(db_default=Now())
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="quote_open_expiry", condition=Q(state="open"))]

    def __str__(self) -> str:
        return self.ref


class Reservation(TenantOwnedModel):
    """A promise of nodes from a start to an end, or until released."""

    ref = models.CharField(max_length=40, unique=True, default=reservation_ref, editable=False)
    name = models.CharField(max_length=63)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="reservations")
    quote = models.OneToOneField(Quote, on_delete=models.PROTECT, related_name="reservation")
    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="reservations")
    node_type = models.ForeignKey(NodeType, on_delete=models.PROTECT, related_name="reservations")
    node_count = models.PositiveIntegerField()
    image = models.ForeignKey(Image, on_delete=models.PROTECT, related_name="+")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    workload = models.JSONField(default=dict)
    ssh_public_keys = models.JSONField(help_text=_("As they were when reserved"))
    user_data_sealed = models.BinaryField()
    price_snapshot = models.ForeignKey(PriceSnapshot, on_delete=models.PROTECT, related_name="+")
    max_spend = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    decision = models.JSONField()
    state = models.CharField(max_length=20, choices=ReservationState, default=ReservationState.SCHEDULED)
    state_changed_at = models.DateTimeField(db_default=Now())
    failure = models.TextField(blank=True, default="")
    created_by_ref = models.CharField(max_length=40)
    created_at = models.DateTimeField(db_default=Now())
    active_at = models.DateTimeField(null=True)
    released_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-id"], name="reservation_of_tenant"),
            models.Index(fields=["starts_at"], name="reservation_to_start", condition=Q(state="scheduled")),
            models.Index(
                fields=["ends_at"],
                name="reservation_to_end",
                condition=Q(state__in=["deploying", "active", "suspended"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.ref})"

    def user_data(self) -> str:
        return vault.unseal(self.user_data_sealed, context=USER_DATA).decode()


class Allocation(TenantOwnedModel):
    """One node promised for a half-open period. Live rows of one node never overlap: the database refuses (I1)."""

    reservation = models.ForeignKey(Reservation, on_delete=models.PROTECT, related_name="allocations")
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="allocations")
    period = DateTimeRangeField()
    is_live = models.BooleanField(default=True, help_text=_("False once cancelled or failed"))
    deployed_at = models.DateTimeField(null=True)
    cleaned_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            ExclusionConstraint(
                name="node_promised_once",
                expressions=[
                    (
                        Func(F("node_id"), F("node_id"), Value("[]"), function="int8range"),
                        RangeOperators.OVERLAPS,
                    ),
                    ("period", RangeOperators.OVERLAPS),
                ],
                condition=Q(is_live=True),
            ),
            models.UniqueConstraint(fields=["reservation", "node"], name="one_allocation_per_node"),
        ]

    def __str__(self) -> str:
        return f"{self.node_id} for {self.reservation_id}"
