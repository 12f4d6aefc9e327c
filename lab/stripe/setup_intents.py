"""Setup intents: a card, and its owner's consent, for later."""

from lab.stripe.cards import DECLINED_WORDS, REFUSED_AT_SETUP, TestCard
from lab.stripe.customers import attach, find_method
from lab.stripe.errors import card_error, invalid
from lab.stripe.forms import allow, flag, metadata
from lab.stripe.intents import ask_owner, wrong_state
from lab.stripe.store import Store, Thing

_SETUP = (
    "customer", "usage", "payment_method", "confirm", "allowed_payment_method_types", "automatic_payment_methods",
    "description", "metadata", "return_url",
)  # fmt: skip


def create_setup(store: Store, params: Thing) -> Thing:
    allow(params, *_SETUP)
    if params.get("customer"):
        store.get("customer", params["customer"])
    intent = store.add(
        "seti",
        "setup_intent",
        application=None,
        cancellation_reason=None,
        client_secret=store.new_id("seti_secret"),
        customer=params.get("customer"),
        description=params.get("description"),
        last_setup_error=None,
        latest_attempt=None,
        mandate=None,
        metadata=metadata(params),
        next_action=None,
        payment_method=None,
        payment_method_types=["card"],
        status="requires_payment_method",
        usage=params.get("usage", "off_session"),
        _return_url=params.get("return_url"),
    )
    store.emit("setup_intent.created", intent)
    if params.get("payment_method"):
        intent["payment_method"] = find_method(store, params["payment_method"])["id"]
        intent["status"] = "requires_confirmation"
    if flag(params, "confirm"):
        return confirm_setup(store, intent["id"], {})
    return intent


def confirm_setup(store: Store, ref: str, params: Thing) -> Thing:
    allow(params, "payment_method", "return_url")
    intent = store.get("setup_intent", ref)
    if intent["status"] not in {"requires_payment_method", "requires_confirmation", "requires_action"}:
        raise wrong_state(intent, "confirm")
    if params.get("payment_method"):
        intent["payment_method"] = find_method(store, params["payment_method"])["id"]
    if intent["payment_method"] is None:
        raise invalid("You cannot confirm this SetupIntent because it's missing a payment method.")
    intent["_return_url"] = params.get("return_url") or intent["_return_url"]
    card: TestCard = store.get("payment_method", intent["payment_method"])["_card"]
    if card.number in REFUSED_AT_SETUP:
        error = {
            "type": "card_error",
            "code": "card_declined",
            "decline_code": card.declines_with,
            "message": DECLINED_WORDS,
        }
        intent.update(status="requires_payment_method", last_setup_error=error, payment_method=None)
        store.emit("setup_intent.setup_failed", intent)
        raise card_error(
            DECLINED_WORDS, code="card_declined", decline_code=card.declines_with, setup_intent=store.shown(intent)
        )
    if card.asks_owner != "never":
        ask_owner(store, intent)
        store.emit("setup_intent.requires_action", intent)
        return intent
    return finish_setup(store, intent)


def finish_setup(store: Store, intent: Thing) -> Thing:
    method = store.get("payment_method", intent["payment_method"])
    method["_owner_agreed"] = True
    if intent["customer"]:
        attach(store, method["id"], {"customer": intent["customer"]})
    intent.update(status="succeeded", next_action=None, last_setup_error=None)
    store.emit("setup_intent.succeeded", intent)
    return intent
