"""Stripe behind the port: SDK 16, card entry on Stripe's own page, charges off-session, answers into our own types.

A restricted key (``rk_``) with write access to customers, payment methods, setup intents, payment intents, checkout
sessions and refunds is enough.
"""

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn, ParamSpec, TypeVar

import stripe

from billing.errors import (
    AuthenticationRequired,
    BadWebhook,
    CardDeclined,
    CardsNotConfigured,
    GatewayRefused,
    GatewayUnavailable,
)
from billing.gateway import CardFacts, PaymentFacts, PaymentStatus, SetupFacts, SetupStatus, WebhookFacts
from common.errors import DomainError
from common.money import Money

TIMEOUT_S = 20
NETWORK_RETRIES = 2
WEBHOOK_TOLERANCE_S = 300
CHARGE_REF = "chapek_charge"
CARD_REF = "chapek_card"

_PAYMENT_STATUS = {
    "succeeded": PaymentStatus.SUCCEEDED,
    "processing": PaymentStatus.PROCESSING,
    "requires_action": PaymentStatus.ACTION_REQUIRED,
    "requires_confirmation": PaymentStatus.PROCESSING,
    "requires_payment_method": PaymentStatus.DECLINED,
    "canceled": PaymentStatus.DECLINED,
}
_SETUP_STATUS = {"open": SetupStatus.WAITING, "complete": SetupStatus.DONE, "expired": SetupStatus.LAPSED}
_OBJECT_KINDS = {"payment_intent": "payment", "checkout.session": "card_setup"}

P = ParamSpec("P")
R = TypeVar("R")


def _typed_errors(call: Callable[P, R]) -> Callable[P, R]:
    """Stripe's errors into ours; the SDK's own never leave this module."""

    @functools.wraps(call)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except stripe.StripeError as error:
            raise _translated(error) from error

    return wrapped


def _translated(error: stripe.StripeError) -> DomainError:
    facts = {"request_id": error.request_id or ""}
    if isinstance(error, stripe.CardError):
        intent = getattr(error.error, "payment_intent", None) if error.error else None
        facts["payment_ref"] = _field(intent, "id") or ""
        reason = (error.error.decline_code if error.error else None) or error.code or "declined"
        said = error.user_message or "the card was declined"
        if "authentication_required" in {error.code, reason}:
            return AuthenticationRequired(said, reason="authentication_required", **facts)
        return CardDeclined(said, reason=reason, **facts)
    temporary = (stripe.APIConnectionError, stripe.RateLimitError, stripe.IdempotencyError)
    if isinstance(error, temporary) or (error.http_status or 500) >= 500 or error.http_status == 409:
        return GatewayUnavailable("the card processor gave no usable answer", **facts)
    # What Stripe says of a bad request may quote its parameters: it goes to the log by its id only.
    return GatewayRefused(f"the card processor refused the request ({error.code or error.http_status})", **facts)


def _field(thing: Any, name: str) -> Any:
    """A field of a Stripe object (which is no dict since SDK 15), of a dict, or of nothing."""
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)


def _id(thing: Any) -> str:
    """An expandable field: the id itself, or the object that has it."""
    return thing if isinstance(thing, str) else str(_field(thing, "id") or "")


def _minor(amount: Money) -> int:
    """Whole minor units; our currencies have two decimals."""
    minor = amount.amount * 100
    if minor != minor.to_integral_value() or minor <= 0:
        raise ValueError("a card is charged a positive amount of whole cents")
    return int(minor)


class StripeGateway:
    """See ``billing.gateway.PaymentGateway``."""

    name = "stripe"
    is_configured = True

    def __init__(self, *, key: str, base_url: str = "", webhook_secret: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self._secret = webhook_secret
        self._client = stripe.StripeClient(
            key,
            base_addresses={"api": base_url} if base_url else None,
            http_client=stripe.RequestsClient(timeout=timeout_s),
            max_network_retries=NETWORK_RETRIES,
        )

    @_typed_errors
    def create_customer(self, *, tenant_ref: str, name: str, email: str, idempotency_key: str) -> str:
        customer = self._client.v1.customers.create(
            {"name": name, "email": email, "metadata": {"chapek_tenant": tenant_ref}},
            {"idempotency_key": idempotency_key},
        )
        return customer.id

    @_typed_errors
    def begin_card_setup(
        self, *, customer_ref: str, card_ref: str, success_url: str, cancel_url: str, idempotency_key: str
    ) -> SetupFacts:
        session = self._client.v1.checkout.sessions.create(
            {
                "mode": "setup",
                "customer": customer_ref,
                "currency": "eur",
                "allowed_payment_method_types": ["card"],
                "success_url": success_url,
                "cancel_url": cancel_url,
                "metadata": {CARD_REF: card_ref},
                "setup_intent_data": {"metadata": {CARD_REF: card_ref}},
            },
            {"idempotency_key": idempotency_key},
        )
        return SetupFacts(setup_ref=session.id, status=SetupStatus.WAITING, url=session.url or "")

    @_typed_errors
    def card_setup(self, *, setup_ref: str) -> SetupFacts:
        session = self._client.v1.checkout.sessions.retrieve(
            setup_ref, {"expand": ["setup_intent", "setup_intent.payment_method"]}
        )
        status = _SETUP_STATUS.get(session.status or "open", SetupStatus.WAITING)
        method = _field(session.setup_intent, "payment_method")
        card = _field(method, "card")
        if status != SetupStatus.DONE or card is None:
            waiting = SetupStatus.WAITING if status == SetupStatus.DONE else status
            return SetupFacts(setup_ref=setup_ref, status=waiting, url=session.url or "")
        return SetupFacts(
            setup_ref=setup_ref,
            status=SetupStatus.DONE,
            card=CardFacts(
                provider_ref=_id(method),
                brand=str(_field(card, "brand")),
                last4=str(_field(card, "last4")),
                expires_month=int(_field(card, "exp_month")),
                expires_year=int(_field(card, "exp_year")),
            ),
        )

    @_typed_errors
    def remove_card(self, *, provider_ref: str) -> None:
        try:
            self._client.v1.payment_methods.detach(provider_ref)
        except stripe.InvalidRequestError as error:
            if error.http_status != 404 and "not attached" not in (error.user_message or ""):
                raise

    @_typed_errors
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
        intent = self._client.v1.payment_intents.create(
            {
                "amount": _minor(amount),
                "currency": amount.currency.lower(),
                "customer": customer_ref,
                "payment_method": provider_ref,
                "allowed_payment_method_types": ["card"],
                "off_session": True,
                "confirm": True,
                "description": description,
                "metadata": {CHARGE_REF: charge_ref},
            },
            {"idempotency_key": idempotency_key},
        )
        return _payment(intent)

    @_typed_errors
    def payment(self, *, payment_ref: str) -> PaymentFacts:
        return _payment(self._client.v1.payment_intents.retrieve(payment_ref))

    @_typed_errors
    def find_payment(self, *, customer_ref: str, charge_ref: str, since_at: datetime) -> PaymentFacts | None:
        found = self._client.v1.payment_intents.list(
            {"customer": customer_ref, "created": {"gte": int(since_at.timestamp())}, "limit": 100}
        )
        for intent in found.auto_paging_iter():
            facts = _payment(intent)
            if facts.charge_ref == charge_ref:
                return facts
        return None

    @_typed_errors
    def authenticate(self, *, payment_ref: str, provider_ref: str, return_url: str, idempotency_key: str) -> str:
        intent = self._client.v1.payment_intents.confirm(
            payment_ref,
            {"payment_method": provider_ref, "return_url": return_url, "off_session": False},
            {"idempotency_key": idempotency_key},
        )
        redirect = _field(_field(intent, "next_action"), "redirect_to_url")
        return str(_field(redirect, "url") or "")

    @_typed_errors
    def refund(self, *, payment_ref: str, amount: Money, idempotency_key: str) -> str:
        refund = self._client.v1.refunds.create(
            {"payment_intent": payment_ref, "amount": _minor(amount)}, {"idempotency_key": idempotency_key}
        )
        return refund.id

    def read_webhook(self, *, body: bytes, signature: str) -> WebhookFacts:
        if not self._secret:
            raise CardsNotConfigured("CHAPEK_STRIPE_WEBHOOK_SECRET is not set: webhooks cannot be verified")
        try:
            event = self._client.construct_event(body, signature, self._secret, tolerance=WEBHOOK_TOLERANCE_S)
            subject = event.data.object
            return WebhookFacts(
                event_ref=event.id,
                kind=event.type,
                object_kind=_OBJECT_KINDS.get(str(_field(subject, "object")), ""),
                object_ref=_id(subject),
                occurred_at=datetime.fromtimestamp(event.created, tz=UTC),
            )
        except (ValueError, UnicodeDecodeError, AttributeError, TypeError, KeyError, stripe.SignatureVerificationError):
            _bad_webhook()


def _bad_webhook() -> NoReturn:
    # Why is not said: whoever sent it is not who they claim to be.
    raise BadWebhook("the signature does not match the body") from None


def _payment(intent: Any) -> PaymentFacts:
    last_error = _field(intent, "last_payment_error")
    status = _PAYMENT_STATUS.get(str(intent.status), PaymentStatus.PROCESSING)
    reason = str(_field(last_error, "decline_code") or _field(last_error, "code") or "")
    if status == PaymentStatus.DECLINED and reason == "authentication_required":
        status = PaymentStatus.ACTION_REQUIRED  # the payment waits for its owner, who can still confirm it
    return PaymentFacts(
        payment_ref=intent.id,
        charge_ref=str(_field(_field(intent, "metadata"), CHARGE_REF) or ""),
        status=status,
        amount=Money(Decimal(intent.amount) / 100, str(intent.currency).upper()),
        reason=reason,
        message=str(_field(last_error, "message") or ""),
    )
