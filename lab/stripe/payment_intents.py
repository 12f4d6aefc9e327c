"""Payment intents: money now, and back again."""

from lab.stripe.cards import AUTHENTICATE_WORDS, DECLINED_WORDS, TestCard
from lab.stripe.customers import find_method
from lab.stripe.errors import Fault, card_error, invalid
from lab.stripe.forms import allow, flag, integer, metadata
from lab.stripe.intents import ask_owner, wrong_state
from lab.stripe.store import Store, Thing

_PAYMENT = (
    "amount", "currency", "customer", "payment_method", "allowed_payment_method_types", "automatic_payment_methods",
    "off_session", "confirm", "description", "metadata", "return_url", "statement_descriptor_suffix", "receipt_email",
    "setup_future_usage", "capture_method",
)  # fmt: skip


def create_payment(store: Store, params: Thing) -> Thing:
    allow(params, *_PAYMENT, require=["amount", "currency"])
    amount = integer(params, "amount")
    if amount < 50:
        raise invalid("Amount must be at least 50 cents", param="amount", code="amount_too_small")
    if params.get("customer"):
        store.get("customer", params["customer"])
    method = find_method(store, params["payment_method"]) if params.get("payment_method") else None
    if method is not None and method["customer"] not in {None, params.get("customer")}:
        raise invalid("The provided PaymentMethod does not belong to the Customer.", param="payment_method")
    if flag(params, "off_session") and not flag(params, "confirm"):
        raise invalid("off_session can only be used when confirm=true", param="off_session")
    intent = store.add(
        "pi",
        "payment_intent",
        amount=amount,
        amount_capturable=0,
        amount_details={"tip": {}},
        amount_received=0,
        application=None,
        application_fee_amount=None,
        automatic_payment_methods=None,
        canceled_at=None,
        cancellation_reason=None,
        capture_method="automatic",
        client_secret=store.new_id("pi_secret"),
        confirmation_method="automatic",
        currency=str(params["currency"]).lower(),
        customer=params.get("customer"),
        description=params.get("description"),
        last_payment_error=None,
        latest_charge=None,
        metadata=metadata(params),
        next_action=None,
        payment_method=method["id"] if method else None,
        payment_method_types=["card"],
        receipt_email=params.get("receipt_email"),
        setup_future_usage=params.get("setup_future_usage"),
        shipping=None,
        statement_descriptor=None,
        status="requires_confirmation" if method else "requires_payment_method",
        transfer_data=None,
        _return_url=params.get("return_url"),
    )
    store.emit("payment_intent.created", intent)
    if flag(params, "confirm"):
        return _confirm(store, intent, off_session=flag(params, "off_session"))
    return intent


def confirm_payment(store: Store, ref: str, params: Thing) -> Thing:
    allow(params, "payment_method", "return_url", "off_session")
    intent = store.get("payment_intent", ref)
    if intent["status"] not in {"requires_payment_method", "requires_confirmation", "requires_action"}:
        raise wrong_state(intent, "confirm")
    if params.get("payment_method"):
        intent["payment_method"] = find_method(store, params["payment_method"])["id"]
    intent["_return_url"] = params.get("return_url") or intent["_return_url"]
    return _confirm(store, intent, off_session=flag(params, "off_session"))


def _confirm(store: Store, intent: Thing, *, off_session: bool) -> Thing:
    if intent["payment_method"] is None:
        raise invalid("You cannot confirm this PaymentIntent because it's missing a payment method.")
    method = store.get("payment_method", intent["payment_method"])
    card: TestCard = method["_card"]
    if card.declines_with:
        raise fail_payment(store, intent, code="card_declined", decline=card.declines_with, words=DECLINED_WORDS)
    asks = card.asks_owner == "always" or (card.asks_owner == "at_setup" and not method["_owner_agreed"])
    if asks and off_session:
        raise fail_payment(
            store, intent, code="authentication_required", decline="authentication_required", words=AUTHENTICATE_WORDS
        )
    if asks:
        if not intent["_return_url"]:
            raise invalid("A return_url must be given when the card may ask its owner.", param="return_url")
        ask_owner(store, intent)
        store.emit("payment_intent.requires_action", intent)
        return intent
    return finish_payment(store, intent)


def finish_payment(store: Store, intent: Thing) -> Thing:
    charge = _charge(store, intent, status="succeeded")
    intent.update(
        status="succeeded",
        amount_received=intent["amount"],
        latest_charge=charge["id"],
        next_action=None,
        last_payment_error=None,
    )
    store.emit("charge.succeeded", charge)
    store.emit("payment_intent.succeeded", intent)
    return intent


def fail_payment(store: Store, intent: Thing, *, code: str, decline: str | None, words: str) -> Fault:
    """The bank's refusal, kept on the intent; returns what to raise."""
    charge = _charge(store, intent, status="failed", failure_code=code, failure_message=words)
    method = store.get("payment_method", intent["payment_method"])
    error = {
        "type": "card_error",
        "code": code,
        "decline_code": decline,
        "message": words,
        "charge": charge["id"],
        "payment_method": store.shown(method),
    }
    intent.update(
        status="requires_payment_method",
        last_payment_error=error,
        latest_charge=charge["id"],
        next_action=None,
        payment_method=None,
    )
    store.emit("charge.failed", charge)
    store.emit("payment_intent.payment_failed", intent)
    return card_error(
        words, code=code, decline_code=decline, charge=charge["id"], payment_intent=store.shown(intent),
        payment_method=store.shown(method),
    )  # fmt: skip


def list_payments(store: Store, params: Thing) -> Thing:
    allow(params, "customer", "created", "limit", "starting_after")
    owner = params.get("customer")
    found = (intent for intent in store.all("payment_intent") if owner in {None, intent["customer"]})
    return store.page(found, params, url="/v1/payment_intents", expand=())


def create_refund(store: Store, params: Thing) -> Thing:
    allow(params, "payment_intent", "charge", "amount", "reason", "metadata")
    ref = params.get("charge") or store.get("payment_intent", params.get("payment_intent"))["latest_charge"]
    charge = store.get("charge", ref)
    left = charge["amount"] - charge["amount_refunded"] if charge["paid"] else 0
    amount = integer(params, "amount") if "amount" in params else left
    if left == 0:
        raise invalid("Charge has already been refunded.", code="charge_already_refunded")
    if not 0 < amount <= left:
        raise invalid("Refund amount is greater than unrefunded amount on charge", param="amount")
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    refund = store.add(
        "re",
        "refund",
        amount=amount,
        balance_transaction=None,
        charge=charge["id"],
        currency=charge["currency"],
        metadata=metadata(params),
        payment_intent=charge["payment_intent"],
        reason=params.get("reason"),
        receipt_number=None,
        status="succeeded",
    )
    store.emit("refund.created", refund)
    store.emit("charge.refunded", charge)
    return refund


def _charge(
    store: Store, intent: Thing, *, status: str, failure_code: str | None = None, failure_message: str | None = None
) -> Thing:
    paid = status == "succeeded"
    return store.add(
        "ch",
        "charge",
        amount=intent["amount"],
        amount_captured=intent["amount"] if paid else 0,
        amount_refunded=0,
        balance_transaction=None,
        billing_details={"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
        captured=paid,
        currency=intent["currency"],
        customer=intent["customer"],
        description=intent["description"],
        disputed=False,
        failure_code=failure_code,
        failure_message=failure_message,
        metadata=dict(intent["metadata"]),
        outcome=None,
        paid=paid,
        payment_intent=intent["id"],
        payment_method=intent["payment_method"],
        refunded=False,
        status=status,
    )
