"""Cards, what was taken from them, credit lines, and what the card processor told us."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from billing.models.fields import amount_field, currency_field
from billing.models.invoice import Invoice
from billing.states import CardState, ChargeState
from common.ids import new_ref
from common.tenancy import TenantOwnedModel


def card_ref() -> str:
    return new_ref("crd")


def charge_ref() -> str:
    return new_ref("chg")


class PaymentCustomer(TenantOwnedModel):
    """A tenant as the card processor knows it."""

    gateway = models.CharField(max_length=20)
    customer_ref = models.CharField(max_length=100)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "gateway"], name="one_customer_per_gateway"),
            models.UniqueConstraint(fields=["gateway", "customer_ref"], name="one_tenant_per_customer"),
        ]

    def __str__(self) -> str:
        return f"{self.gateway} {self.customer_ref}"


class PaymentMethod(TenantOwnedModel):
    """A card: only what may be shown. Its number never comes near us; the processor keeps it.

    Written as ``pending`` before the processor is asked to collect the card (``setup_ref`` is its name there).
    """

    ref = models.CharField(max_length=40, unique=True, default=card_ref, editable=False)
    state = models.CharField(max_length=8, choices=CardState, default=CardState.PENDING)
    state_changed_at = models.DateTimeField(db_default=Now())
    gateway = models.CharField(max_length=20)
    setup_ref = models.CharField(max_length=100, blank=True, default="", db_index=True)
    provider_ref = models.CharField(max_length=100, blank=True, default="")
    brand = models.CharField(max_length=20, blank=True, default="")
    last4 = models.CharField(max_length=4, blank=True, default="")
    expires_month = models.PositiveSmallIntegerField(null=True)
    expires_year = models.PositiveSmallIntegerField(null=True)
    is_default = models.BooleanField(default=False)
    created_by_ref = models.CharField(max_length=80)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-is_default", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["tenant"], condition=Q(is_default=True), name="one_default_card"),
            models.UniqueConstraint(
                fields=["gateway", "provider_ref"], condition=~Q(provider_ref=""), name="one_row_per_card"
            ),
            models.CheckConstraint(
                condition=Q(is_default=False) | Q(state=CardState.ACTIVE), name="default_card_is_usable"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.brand} •••• {self.last4}" if self.last4 else str(_("card not entered yet"))


class Charge(TenantOwnedModel):
    """One attempt to take an amount from a card: for an invoice, or to top up prepaid credit.

    Committed before the call is made. ``idempotency_key`` follows from what is charged and the attempt, so a call
    that is sent again after a crash is the same call to the processor.
    """

    class Purpose(models.TextChoices):
        INVOICE = "invoice", _("Pays an invoice")
        TOP_UP = "top_up", _("Tops up prepaid credit")

    ref = models.CharField(max_length=40, unique=True, default=charge_ref, editable=False)
    state = models.CharField(max_length=16, choices=ChargeState, default=ChargeState.PENDING)
    state_changed_at = models.DateTimeField(db_default=Now())
    purpose = models.CharField(max_length=8, choices=Purpose)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, null=True, related_name="charges")
    attempt = models.PositiveIntegerField(default=1)
    method = models.ForeignKey(PaymentMethod, on_delete=models.PROTECT, related_name="charges")
    amount = amount_field()
    currency = currency_field()
    idempotency_key = models.CharField(max_length=120, unique=True)
    payment_ref = models.CharField(max_length=100, blank=True, default="", db_index=True)
    failure_code = models.CharField(max_length=60, blank=True, default="")
    failure_message = models.CharField(max_length=300, blank=True, default="")
    sent_count = models.PositiveIntegerField(default=0)
    next_send_at = models.DateTimeField(db_default=Now())
    requested_by_ref = models.CharField(max_length=80)
    requested_at = models.DateTimeField()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["next_send_at"], name="charge_due", condition=Q(state=ChargeState.PENDING))]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="charge_is_positive"),
            models.UniqueConstraint(fields=["invoice", "attempt"], name="one_charge_per_attempt"),
            models.UniqueConstraint(
                fields=["invoice"],
                condition=Q(state__in=[ChargeState.PENDING, ChargeState.ACTION_REQUIRED]),
                name="one_live_charge_per_invoice",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} ({self.get_state_display()})"


class CreditLine(TenantOwnedModel):
    """How much a tenant may use before paying: opened by a card on file or by the operator's word."""

    class Source(models.TextChoices):
        CARD = "card", _("A card on file")
        OPERATOR = "operator", _("The operator's word")

    source = models.CharField(max_length=8, choices=Source)
    limit = amount_field()
    currency = currency_field()
    reason = models.CharField(max_length=200, blank=True, default="")
    opened_by_ref = models.CharField(max_length=80)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(limit__gte=0), name="credit_line_is_not_negative"),
            models.UniqueConstraint(
                fields=["tenant", "source", "currency"], condition=Q(closed_at=None), name="one_open_credit_line"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.limit} {self.currency} ({self.get_source_display()})"


class WebhookEvent(models.Model):
    """News from the card processor, stored once per event id. It only says what to look up; the facts are fetched."""

    gateway = models.CharField(max_length=20)
    event_ref = models.CharField(max_length=100)
    kind = models.CharField(max_length=80)
    object_ref = models.CharField(max_length=100, db_index=True)
    received_at = models.DateTimeField(db_default=Now())
    processed_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(db_default=Now())
    last_error = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        indexes = [
            models.Index(fields=["next_attempt_at"], name="webhook_pending", condition=Q(processed_at=None)),
        ]
        constraints = [models.UniqueConstraint(fields=["gateway", "event_ref"], name="one_row_per_webhook_event")]

    def __str__(self) -> str:
        return f"{self.kind} {self.event_ref}"
