"""What setup intents and payment intents share."""

from lab.stripe.errors import Fault, invalid
from lab.stripe.forms import allow
from lab.stripe.store import Store, Thing

CANCELLABLE = {"requires_payment_method", "requires_confirmation", "requires_action", "processing"}


def cancel(store: Store, kind: str, ref: str, params: Thing) -> Thing:
    allow(params, "cancellation_reason")
    intent = store.get(kind, ref)
    if intent["status"] not in CANCELLABLE:
        raise wrong_state(intent, "cancel")
    intent.update(status="canceled", next_action=None, cancellation_reason=params.get("cancellation_reason"))
    store.emit(f"{kind}.canceled", intent)
    return intent


def ask_owner(store: Store, intent: Thing) -> None:
    page = f"{store.base_url}/lab/authenticate/{intent['id']}"
    intent["status"] = "requires_action"
    intent["next_action"] = {
        "type": "redirect_to_url",
        "redirect_to_url": {"url": page, "return_url": intent["_return_url"]},
    }


def wrong_state(intent: Thing, act: str) -> Fault:
    kind = "payment_intent" if intent["object"] == "payment_intent" else "setup_intent"
    return invalid(
        f"You cannot {act} this {kind} because it has a status of {intent['status']}.",
        code=f"{kind}_unexpected_state",
    )
