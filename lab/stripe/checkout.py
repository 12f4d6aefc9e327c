"""Checkout in setup mode: the page on which a card is entered, and the bank's page on which its owner confirms."""

import html
from urllib.parse import urlencode, urlsplit

from lab.stripe.cards import BY_NUMBER
from lab.stripe.customers import new_card
from lab.stripe.errors import invalid
from lab.stripe.forms import allow, metadata
from lab.stripe.payment_intents import fail_payment, finish_payment
from lab.stripe.setup_intents import confirm_setup, create_setup, finish_setup
from lab.stripe.store import Store, Thing

LIFE_S = 24 * 3600
_PARAMS = (
    "mode", "customer", "currency", "allowed_payment_method_types", "success_url", "cancel_url", "metadata",
    "setup_intent_data", "client_reference_id", "locale", "expires_at",
)  # fmt: skip


def create(store: Store, params: Thing) -> Thing:
    allow(params, *_PARAMS, require=["mode", "success_url"])
    if params["mode"] != "setup":
        raise invalid("Only setup mode is offered here", param="mode")
    if "currency" not in params and "allowed_payment_method_types" not in params:
        raise invalid("Missing required param: currency.", param="currency", code="parameter_missing")
    setup = create_setup(
        store,
        {
            "customer": params.get("customer"),
            "usage": "off_session",
            "metadata": (params.get("setup_intent_data") or {}).get("metadata") or {},
        },
    )
    session = store.add(
        "cs_test",
        "checkout.session",
        amount_subtotal=None,
        amount_total=None,
        automatic_tax={"enabled": False, "liability": None, "provider": None, "status": None},
        cancel_url=params.get("cancel_url"),
        client_reference_id=params.get("client_reference_id"),
        currency=params.get("currency"),
        custom_fields=[],
        custom_text={
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        customer=params.get("customer"),
        customer_details=None,
        customer_email=None,
        expires_at=store.now() + LIFE_S,
        locale=params.get("locale"),
        metadata=metadata(params),
        mode="setup",
        payment_intent=None,
        payment_method_types=["card"],
        payment_status="no_payment_required",
        setup_intent=setup["id"],
        shipping_options=[],
        status="open",
        success_url=params["success_url"],
        url="",
    )
    session["url"] = f"{store.base_url}/checkout/{session['id']}"
    return session


def retrieve(store: Store, ref: str) -> Thing:
    session = store.get("checkout.session", ref)
    if session["status"] == "open" and store.now() >= session["expires_at"]:
        expire(store, ref)
    return session


def expire(store: Store, ref: str) -> Thing:
    session = store.get("checkout.session", ref)
    if session["status"] != "open":
        raise invalid('Only Checkout Sessions with a status in ["open"] can be expired.')
    session.update(status="expired", url=None)
    store.emit("checkout.session.expired", session)
    return session


def page(store: Store, ref: str, *, problem: str = "") -> str:
    """The card form: numbers of test cards only; it is part of the stand-in and never sees a real one."""
    session = retrieve(store, ref)
    if session["status"] != "open":
        raise invalid("This session is over.", status=410)
    options = "".join(
        f'<option value="{card.number}">{card.number} {card.brand}'
        f"{', declines: ' + card.declines_with if card.declines_with else ''}"
        f"{', asks its owner ' + card.asks_owner if card.asks_owner != 'never' else ''}</option>"
        for card in BY_NUMBER.values()
    )
    cancel = html.escape(session["cancel_url"] or session["success_url"], quote=True)
    return _document(
        "Save a test card",
        f'<p role="alert">{html.escape(problem)}</p>'
        f'<form method="post"><label>Test card <select name="number">{options}</select></label> '
        f'<button>Save card</button></form><p><a href="{cancel}">Cancel</a></p>',
    )


def submit(store: Store, ref: str, number: str) -> str:
    """Save the card and return where the browser goes next. Raises Fault with what the page shall say."""
    session = retrieve(store, ref)
    if session["status"] != "open":
        raise invalid("This session is over.", status=410)
    card = BY_NUMBER.get(number.replace(" ", ""))
    if card is None:
        raise invalid("Your card number is incorrect.", code="incorrect_number", status=402)
    method = new_card(store, card)
    setup = confirm_setup(
        store, session["setup_intent"], {"payment_method": method["id"], "return_url": session["success_url"]}
    )
    if setup["status"] == "requires_action":
        return str(setup["next_action"]["redirect_to_url"]["url"])
    return complete(store, session)


def complete(store: Store, session: Thing) -> str:
    session.update(status="complete", url=None)
    store.emit("checkout.session.completed", session)
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def bank_page() -> str:
    return _document(
        "Your bank asks",
        '<form method="post"><button name="answer" value="yes">Confirm</button> '
        '<button name="answer" value="no">Refuse</button></form>',
    )


def bank_answer(store: Store, ref: str, *, agrees: bool) -> str:
    """The owner's answer to the bank. Returns where the browser goes next."""
    intent = store.objects.get(ref)
    if intent is None or intent.get("status") != "requires_action":
        raise invalid("There is nothing to confirm.", status=410)
    if intent["object"] == "setup_intent":
        return _setup_answer(store, intent, agrees=agrees)
    if agrees:
        store.get("payment_method", intent["payment_method"])["_owner_agreed"] = True
        finish_payment(store, intent)
    else:
        words = "The provided PaymentMethod has failed authentication."
        fail_payment(store, intent, code="payment_intent_authentication_failure", decline=None, words=words)
    return _with_query(intent["_return_url"], payment_intent=ref, redirect_status="succeeded" if agrees else "failed")


def _setup_answer(store: Store, intent: Thing, *, agrees: bool) -> str:
    session = next((s for s in store.all("checkout.session") if s["setup_intent"] == intent["id"]), None)
    if agrees:
        finish_setup(store, intent)
        if session is not None:
            return complete(store, session)
    else:
        intent.update(status="requires_payment_method", next_action=None, payment_method=None)
        store.emit("setup_intent.setup_failed", intent)
        if session is not None:
            return str(session["url"])
    back = intent["_return_url"] or store.base_url
    return _with_query(back, setup_intent=intent["id"], redirect_status="succeeded" if agrees else "failed")


def _with_query(url: str, **facts: str) -> str:
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(facts)}"


def _document(title: str, body: str) -> str:
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>{body}</html>'
