"""The stand-in, judged by the official SDK alone."""

import asyncio
import json
import subprocess
import sys

import pytest
import stripe
from aiohttp import web

from lab.stripe.forms import parse
from lab.stripe.webhooks import encode, sign
from tests.billing.stripe_lab import SECRET, RunningLab, browse


@pytest.fixture(scope="module")
def lab():
    running = RunningLab()
    yield running
    running.stop()


@pytest.fixture
def client(lab):
    return stripe.StripeClient("sk_test_lab", base_addresses={"api": lab.url}, max_network_retries=0)


@pytest.fixture
def customer(client):
    return client.v1.customers.create({"name": "Buyer", "email": "buyer@example.test", "metadata": {"a": "1"}})


def _card(client, customer, name="pm_card_visa"):
    return client.v1.payment_methods.attach(name, {"customer": customer.id})


def _pay(client, customer, method, *, key=None, **more):
    params = {
        "amount": 2807,
        "currency": "eur",
        "customer": customer.id,
        "payment_method": method.id,
        "off_session": True,
        "confirm": True,
        **more,
    }
    return client.v1.payment_intents.create(params, {"idempotency_key": key} if key else {})


def test_customers_are_kept_and_changed(client, customer):
    client.v1.customers.update(customer.id, {"metadata": {"b": "2"}})
    found = client.v1.customers.retrieve(customer.id)
    assert (found.name, found.metadata["a"], found.metadata["b"]) == ("Buyer", "1", "2")
    assert client.v1.customers.delete(customer.id).deleted
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        client.v1.customers.retrieve(customer.id)
    assert (refusal.value.http_status, refusal.value.code) == (404, "resource_missing")


def test_a_setup_intent_puts_a_card_on_file(client, customer):
    setup = client.v1.setup_intents.create(
        {"customer": customer.id, "usage": "off_session", "payment_method": "pm_card_visa", "confirm": True}
    )
    assert (setup.status, setup.object) == ("succeeded", "setup_intent")
    (method,) = client.v1.customers.payment_methods.list(customer.id).data
    assert (method.id, method.card.last4, method.card.brand) == (setup.payment_method, "4242", "visa")
    client.v1.payment_methods.detach(method.id)
    assert client.v1.customers.payment_methods.list(customer.id).data == []


def test_a_card_that_asks_its_owner_at_setup_is_charged_without_asking_later(client, customer):
    setup = client.v1.setup_intents.create(
        {
            "customer": customer.id,
            "payment_method": "pm_card_authenticationRequiredOnSetup",
            "confirm": True,
            "return_url": "http://127.0.0.1/back",
        }
    )
    assert setup.status == "requires_action"
    assert browse(setup.next_action.redirect_to_url.url, answer="yes").startswith("http://127.0.0.1/back?")
    setup = client.v1.setup_intents.retrieve(setup.id, {"expand": ["payment_method"]})
    assert setup.status == "succeeded"
    assert _pay(client, customer, setup.payment_method).status == "succeeded"


def test_an_off_session_charge_takes_the_money(client, customer):
    intent = _pay(client, customer, _card(client, customer), metadata={"order": "7"})
    assert (intent.status, intent.amount_received, intent.metadata["order"]) == ("succeeded", 2807, "7")
    charge = client.v1.charges.retrieve(intent.latest_charge)
    assert (charge.paid, charge.amount_captured) == (True, 2807)
    assert intent.id in [found.id for found in client.v1.payment_intents.list({"customer": customer.id}).data]


@pytest.mark.parametrize(
    ("card", "decline_code"),
    [
        ("pm_card_chargeCustomerFail", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedExpiredCard", "expired_card"),
    ],
)
def test_a_declined_card_is_a_card_error_with_its_intent(client, customer, card, decline_code):
    with pytest.raises(stripe.CardError) as refusal:
        _pay(client, customer, _card(client, customer, card))
    error = refusal.value
    assert (error.http_status, error.code, error.error.decline_code) == (402, "card_declined", decline_code)
    assert client.v1.payment_intents.retrieve(error.error.payment_intent.id).status == "requires_payment_method"


def test_authentication_required_can_be_finished_by_the_owner(client, customer):
    method = _card(client, customer, "pm_card_authenticationRequired")
    with pytest.raises(stripe.CardError) as refusal:
        _pay(client, customer, method)
    assert refusal.value.code == "authentication_required"
    ref = refusal.value.error.payment_intent.id
    intent = client.v1.payment_intents.confirm(
        ref, {"payment_method": method.id, "return_url": "http://127.0.0.1/back"}
    )
    assert intent.status == "requires_action"
    back = browse(intent.next_action.redirect_to_url.url, answer="yes")
    assert back == f"http://127.0.0.1/back?payment_intent={ref}&redirect_status=succeeded"
    assert client.v1.payment_intents.retrieve(ref).status == "succeeded"


def test_refunds_add_up_to_what_was_taken_and_no_further(client, customer):
    intent = _pay(client, customer, _card(client, customer))
    first = client.v1.refunds.create({"payment_intent": intent.id, "amount": 807})
    rest = client.v1.refunds.create({"payment_intent": intent.id})
    assert (first.amount, rest.amount, rest.status) == (807, 2000, "succeeded")
    assert client.v1.charges.retrieve(intent.latest_charge).refunded
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        client.v1.refunds.create({"payment_intent": intent.id})
    assert refusal.value.code == "charge_already_refunded"


def test_one_key_makes_one_payment(client, customer, lab):
    method = _card(client, customer)
    first = _pay(client, customer, method, key="k-one")
    again = _pay(client, customer, method, key="k-one")
    assert first.id == again.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        _pay(client, customer, method, key="k-one", amount=1000)


def test_a_key_keeps_a_refusal_and_a_500_as_well(client, customer, lab):
    method = _card(client, customer, "pm_card_chargeCustomerFail")
    refs = set()
    for _ in range(2):
        with pytest.raises(stripe.CardError) as refusal:
            _pay(client, customer, method, key="k-declined")
        refs.add(refusal.value.error.payment_intent.id)
    assert len(refs) == 1
    lab.fake.troubles.add("error_after", path="/v1/payment_intents")
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            _pay(client, customer, _card(client, customer), key=f"k-500-{customer.id}", payment_method="pm_card_visa")


def test_a_request_that_never_began_leaves_its_key_free(client, customer):
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.create({"amount": 1, "currency": "eur"}, {"idempotency_key": "k-free"})
    made = client.v1.payment_intents.create({"amount": 100, "currency": "eur"}, {"idempotency_key": "k-free"})
    assert made.status == "requires_payment_method"


def test_a_key_is_forgotten_after_a_day(client, lab):
    params, options = {"amount": 100, "currency": "eur"}, {"idempotency_key": "k-day"}
    first = client.v1.payment_intents.create(params, options)
    lab.fake.store.clock_offset_s += 25 * 3600
    assert client.v1.payment_intents.create(params, options).id != first.id


def test_unknown_parameters_and_keys_are_refused(client, lab):
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        client.v1.payment_intents.create({"amount": 100, "currency": "eur", "payment_method_types": ["card"]})
    assert (refusal.value.code, refusal.value.param) == ("parameter_unknown", "payment_method_types")
    stranger = stripe.StripeClient("sk_live_x", base_addresses={"api": lab.url})
    with pytest.raises(stripe.AuthenticationError):
        stranger.v1.customers.list()


def test_checkout_saves_a_card_and_sends_the_browser_back(client, customer):
    session = client.v1.checkout.sessions.create(
        {
            "mode": "setup",
            "customer": customer.id,
            "currency": "eur",
            "success_url": "http://127.0.0.1/done?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://127.0.0.1/cancelled",
            "metadata": {"card": "crd_1"},
        }
    )
    assert session.status == "open"
    assert "declined" in browse(session.url, number="4000000000000002")
    assert browse(session.url, number="4242424242424242") == f"http://127.0.0.1/done?session={session.id}"
    done = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["setup_intent", "setup_intent.payment_method"]})
    assert (done.status, done.setup_intent.payment_method.card.last4) == ("complete", "4242")


def test_a_checkout_session_ends_after_a_day(client, customer, lab):
    session = client.v1.checkout.sessions.create(
        {"mode": "setup", "customer": customer.id, "currency": "eur", "success_url": "http://127.0.0.1/"}
    )
    lab.fake.store.clock_offset_s += 25 * 3600
    assert client.v1.checkout.sessions.retrieve(session.id).status == "expired"


def test_events_are_listed_and_verified_by_the_sdk(client, customer, lab):
    events = client.v1.events.list({"type": "customer.created", "limit": 1}).data
    assert events[0].data.object.id == customer.id
    body = encode(lab.events("customer.created")[-1])
    header = sign(body, secret=SECRET, at=lab.fake.store.now() - lab.fake.store.clock_offset_s)
    assert client.construct_event(body, header, SECRET).type == "customer.created"
    with pytest.raises(stripe.SignatureVerificationError):
        client.construct_event(body + b" ", header, SECRET)


def test_webhooks_are_sent_again_until_accepted_doubled_and_out_of_order(lab, client):
    received = []

    async def receiver(request):
        body = await request.read()
        received.append((json.loads(body)["data"]["object"]["name"], request.headers["Stripe-Signature"]))
        return web.Response(status=500 if len(received) == 1 else 204)

    async def start():
        app = web.Application()
        app.router.add_post("/hook", receiver)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    async def settled(count):
        for _ in range(2000):
            if len(received) >= count:
                return
            await asyncio.sleep(0.005)
        raise AssertionError(received)

    deliveries = lab.fake.deliveries
    runner = lab.call(start())
    deliveries.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        client.v1.customers.create({"name": "again"})
        lab.call(settled(2))
        deliveries.held = True
        client.v1.customers.create({"name": "first"})
        client.v1.customers.create({"name": "second"})

        async def flush():
            deliveries.held, deliveries.copies = False, 2
            return await deliveries.flush(turned_round=True)

        assert lab.call(flush()) == 2
        lab.call(settled(6))
    finally:
        deliveries.url, deliveries.copies, deliveries.held = "", 1, False
        lab.call(runner.cleanup())
    names = [name for name, _ in received]
    assert names[:2] == ["again", "again"]
    assert names[2:] == ["second", "second", "first", "first"]


def test_a_lost_answer_is_a_connection_error_and_the_same_key_finds_the_payment(client, customer, lab):
    method = _card(client, customer)
    before = len(lab.objects("payment_intent"))
    lab.fake.troubles.add("hang_up_after", path="/v1/payment_intents")
    with pytest.raises(stripe.APIConnectionError):
        _pay(client, customer, method, key=f"k-lost-{customer.id}")
    assert _pay(client, customer, method, key=f"k-lost-{customer.id}").status == "succeeded"
    assert len(lab.objects("payment_intent")) == before + 1


def test_forms_are_read_as_stripe_reads_them():
    assert parse([("a[b][c]", "1"), ("l[]", "x"), ("l[]", "y"), ("n[0][k]", "v"), ("plain", "p")]) == {
        "a": {"b": {"c": "1"}},
        "l": ["x", "y"],
        "n": [{"k": "v"}],
        "plain": "p",
    }


def test_it_runs_as_a_process_and_says_where():
    process = subprocess.Popen([sys.executable, "-m", "lab.stripe"], stdout=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().strip().removeprefix("CHAPEK_STRIPE_URL=")
        client = stripe.StripeClient("rk_test_lab", base_addresses={"api": url})
        assert client.v1.customers.list().data == []
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0
        process.stdout.close()
