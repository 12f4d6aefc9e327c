"""The one port to a card processor. It moves money and keeps card numbers; what is owed is computed here, never there.

Calls are made outside of transactions. Every call that moves or makes something takes the caller's idempotency key, so
that sending it again after a crash is the same call.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NoReturn, Protocol

from django.conf import settings

from billing.errors import CardsNotConfigured
from common.money import Money


class PaymentStatus(StrEnum):
    """Of a payment, as the processor reports it."""

    SUCCEEDED = "succeeded"
    PROCESSING = "processing"
    ACTION_REQUIRED = "action_required"
    DECLINED = "declined"


@dataclass(frozen=True, kw_only=True)
class PaymentFacts:
    """``charge_ref`` is our own id, carried through the processor. ``reason`` is its stable word for a refusal."""

    payment_ref: str
    charge_ref: str
    status: PaymentStatus
    amount: Money
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """All that we may know and show of a card."""

    provider_ref: str
    brand: str
    last4: str
    expires_month: int
    expires_year: int


class SetupStatus(StrEnum):
    WAITING = "waiting"
    DONE = "done"
    LAPSED = "lapsed"


@dataclass(frozen=True, kw_only=True)
class SetupFacts:
    """Where collecting a card stands; ``url`` is the processor's own page for it while it waits."""

    setup_ref: str
    status: SetupStatus
    url: str = ""
    card: CardFacts | None = None


@dataclass(frozen=True, kw_only=True)
class WebhookFacts:
    """News, verified: what to look up. ``object_kind`` is ``payment``, ``card_setup`` or empty when of no interest."""

    event_ref: str
    kind: str
    object_kind: str
    object_ref: str
    occurred_at: datetime


class PaymentGateway(Protocol):
    """Raises GatewayUnavailable when there is no usable answer and GatewayRefused when the platform is refused."""

    name: str

    @property
    def is_configured(self) -> bool:
        """False where every other call raises CardsNotConfigured."""
        ...

    def create_customer(self, *, tenant_ref: str, name: str, email: str, idempotency_key: str) -> str:
        """Returns the processor's id of the customer."""
        ...

    def begin_card_setup(
        self, *, customer_ref: str, card_ref: str, success_url: str, cancel_url: str, idempotency_key: str
    ) -> SetupFacts:
        """Open the processor's page on which a card is entered for charges while its owner is away."""
        ...

    def card_setup(self, *, setup_ref: str) -> SetupFacts: ...

    def remove_card(self, *, provider_ref: str) -> None:
        """Forget the card; forgotten already is success."""
        ...

    def charge(
        self,
        *,
        customer_ref: str,
        provider_ref: str,
        amount: Money,
        charge_ref: str,
        description: str,
        idempotency_key: str,
    ) -> PaymentFacts:
        """Take ``amount`` while the owner is away. Raises CardDeclined, AuthenticationRequired (both with
        ``payment_ref`` in their context when there is one).
        """
        ...

    def payment(self, *, payment_ref: str) -> PaymentFacts: ...

    def find_payment(self, *, customer_ref: str, charge_ref: str, since_at: datetime) -> PaymentFacts | None:
        """The payment made for ``charge_ref``, if the call ever arrived."""
        ...

    def authenticate(self, *, payment_ref: str, provider_ref: str, return_url: str, idempotency_key: str) -> str:
        """The bank's page where the owner confirms the payment; empty when it is settled already."""
        ...

    def refund(self, *, payment_ref: str, amount: Money, idempotency_key: str) -> str:
        """Give money back. Returns the processor's id of the refund."""
        ...

    def read_webhook(self, *, body: bytes, signature: str) -> WebhookFacts:
        """Verify the raw body. Raises BadWebhook."""
        ...


class PrepaidOnly:
    """No card processor: usage is paid from prepaid credit. Every card call says so."""

    name = "prepaid"
    is_configured = False

    def _refuse(self, **_asked: object) -> NoReturn:
        raise CardsNotConfigured("cards are not configured on this installation")

    create_customer = begin_card_setup = card_setup = remove_card = charge = payment = _refuse
    find_payment = authenticate = refund = read_webhook = _refuse


def gateway_from_settings() -> PaymentGateway:
    """Stripe where a key is set, else prepaid only. Called at the edge: tasks, views and pages."""
    if not settings.CHAPEK_STRIPE_KEY:
        return PrepaidOnly()
    from billing.stripe_gateway import StripeGateway

    return StripeGateway(
        key=settings.CHAPEK_STRIPE_KEY,
        base_url=settings.CHAPEK_STRIPE_URL,
        webhook_secret=settings.CHAPEK_STRIPE_WEBHOOK_SECRET,
    )


def card_credit_limit() -> Money:
    """What a tenant with a card on file may use before paying (CHAPEK_CARD_CREDIT_EUR)."""
    from decimal import Decimal

    return Money(Decimal(settings.CHAPEK_CARD_CREDIT_EUR))
