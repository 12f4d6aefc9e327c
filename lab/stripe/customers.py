"""Customers and their payment methods."""

from typing import Any

from lab.stripe.cards import BY_NUMBER, CARDS, TestCard
from lab.stripe.errors import invalid
from lab.stripe.forms import allow, metadata
from lab.stripe.store import Store, Thing

_CUSTOMER = ("name", "email", "description", "phone", "address", "metadata", "invoice_settings", "preferred_locales")


def create_customer(store: Store, params: Thing) -> Thing:
    allow(params, *_CUSTOMER, "payment_method")
    customer = store.add(
        "cus",
        "customer",
        address=params.get("address"),
        balance=0,
        currency=None,
        default_source=None,
        delinquent=False,
        description=params.get("description"),
        email=params.get("email"),
        invoice_prefix=None,
        invoice_settings={
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        metadata=metadata(params),
        name=params.get("name"),
        phone=params.get("phone"),
        preferred_locales=[],
        shipping=None,
        tax_exempt="none",
    )
    store.emit("customer.created", customer)
    return customer


def update_customer(store: Store, ref: str, params: Thing) -> Thing:
    allow(params, *_CUSTOMER)
    customer = store.get("customer", ref)
    customer["metadata"].update(metadata(params))
    customer.update({name: params[name] for name in ("name", "email", "description", "phone") if name in params})
    store.emit("customer.updated", customer)
    return customer


def delete_customer(store: Store, ref: str) -> Thing:
    customer = store.get("customer", ref)
    del store.objects[customer["id"]]
    for method in store.all("payment_method"):
        if method["customer"] == ref:
            method["customer"] = None
    store.emit("customer.deleted", customer)
    return {"id": ref, "object": "customer", "deleted": True}


def new_card(store: Store, card: TestCard, *, name: str | None = None, exp: tuple[int, int] = (12, 2034)) -> Thing:
    return store.add(
        "pm",
        "payment_method",
        allow_redisplay="unspecified",
        billing_details={
            "address": {
                "city": None,
                "country": None,
                "line1": None,
                "line2": None,
                "postal_code": None,
                "state": None,
            },
            "email": None,
            "name": name,
            "phone": None,
            "tax_id": None,
        },
        card={
            "brand": card.brand,
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
            "country": "CZ",
            "display_brand": card.brand,
            "exp_month": exp[0],
            "exp_year": exp[1],
            "fingerprint": store.new_id("fp"),
            "funding": "credit",
            "generated_from": None,
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        customer=None,
        metadata={},
        type="card",
        _card=card,
        _owner_agreed=False,
    )


def create_payment_method(store: Store, params: Thing) -> Thing:
    allow(params, "type", "card", "billing_details", "metadata", require=["type"])
    card: Any = params.get("card") or {}
    if params["type"] != "card" or not isinstance(card, dict):
        raise invalid("Only cards are supported here", param="type")
    if "token" in card:
        known = CARDS.get(str(card["token"]).replace("tok_", "pm_card_"))
    else:
        known = BY_NUMBER.get(str(card.get("number", "")))
    if known is None:
        raise invalid("Your card number is incorrect.", param="card[number]", code="incorrect_number", status=402)
    expires = (int(card.get("exp_month", 12)), int(card.get("exp_year", 2034)))
    return new_card(store, known, exp=expires)


def find_method(store: Store, ref: Any) -> Thing:
    """A payment method by id; Stripe's well-known test names make a new one each time."""
    if isinstance(ref, str) and ref in CARDS:
        return new_card(store, CARDS[ref])
    return store.get("payment_method", ref)


def attach(store: Store, ref: str, params: Thing) -> Thing:
    allow(params, "customer", require=["customer"])
    customer = store.get("customer", params["customer"])
    method = find_method(store, ref)
    if method["customer"] not in {None, customer["id"]}:
        raise invalid("The payment method you provided has already been attached to a customer.")
    if method["customer"] is None:
        method["customer"] = customer["id"]
        store.emit("payment_method.attached", method)
    return method


def detach(store: Store, ref: str) -> Thing:
    method = store.get("payment_method", ref)
    if method["customer"] is None:
        raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
    method["customer"] = None
    store.emit("payment_method.detached", method)
    return method


def list_methods(store: Store, params: Thing, *, customer: str | None = None) -> Thing:
    allow(params, "customer", "type", "limit", "starting_after")
    owner = customer or params.get("customer")
    found = (
        method
        for method in store.all("payment_method")
        if method["customer"] is not None
        and owner in {None, method["customer"]}
        and params.get("type", "card") == method["type"]
    )
    return store.page(found, params, url="/v1/payment_methods")
