"""Cards from end to end: our services, the official SDK, HTTP, and the stand-in for Stripe."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction

from billing import selectors, services
from billing.errors import CardsNotConfigured, GatewayRefused
from billing.gateway import PrepaidOnly
from billing.models import Charge, CreditLine, LedgerTransaction, PaymentMethod, WebhookEvent
from billing.services import charging
from billing.states import CardState, ChargeState, InvoiceState
from billing.stripe_gateway import StripeGateway
from common.clock import database_now
from common.errors import Conflict, InvalidRequest, NotFound, PlatformFault
from common.models import OutboxEvent
from compliance.audit.models import AuditEvent
from lab.stripe.webhooks import encode, sign
from tests.billing.stripe_lab import SECRET, RunningLab, browse
from tests.billing.world import CONDUCTOR, OPERATOR, eur, make_price, make_tenant, member_of, use, utc

pytestmark = pytest.mark.django_db(transaction=True)
LIMIT = eur("1000.00")
START = utc(2026, 5, 1, 10)


@pytest.fixture
def lab():
    running = RunningLab()
    yield running
    running.stop()


@pytest.fixture
def gateway(lab):
    return StripeGateway(key="sk_test_lab", base_url=lab.url, webhook_secret=SECRET, timeout_s=10)


@pytest.fixture(autouse=True)
def no_broker(monkeypatch):
    """Wake-ups are lost here: what must happen happens without them."""
    monkeypatch.setattr("billing.services.charging._wake", lambda _ref: None)
    monkeypatch.setattr("billing.services.webhooks._wake", lambda _id: None)


def _card(tenant, lab, gateway, number="4242424242424242"):
    setup = services.begin_card_setup(
        tenant=tenant, actor=member_of(tenant), gateway=gateway, success_url="http://testserver/cards",
        cancel_url="http://testserver/cards",
    )  # fmt: skip
    back = lab.enter_card(setup.url, number)
    if "/lab/authenticate/" in back:
        browse(back, answer="yes")
    return services.refresh_card(card_ref=setup.card_ref, gateway=gateway, credit_limit=LIMIT, actor=member_of(tenant))


def _issued(tenant, hours=1):
    ref = use(tenant, make_price(), from_at=START, until_at=START + timedelta(hours=hours))
    draft = services.draft_invoice(tenant_id=tenant.pk, reservation_ref=ref, at=database_now(), actor=OPERATOR)
    return services.issue_invoice(invoice=draft, actor=OPERATOR)


def _send(gateway):
    return services.send_due_charges(at=database_now(), gateway=gateway)


def _make_due(charge, *, hours_ago=0):
    Charge.objects.filter(pk=charge.pk).update(
        next_send_at=database_now(), requested_at=database_now() - timedelta(hours=hours_ago)
    )


def _paid_once(invoice, lab, amount):
    """The money was taken once, booked once, and the invoice is paid."""
    invoice.refresh_from_db()
    assert invoice.state == InvoiceState.PAID
    taken = [intent["amount_received"] for intent in lab.objects("payment_intent")]
    assert sum(taken) == int(Decimal(amount) * 100)
    booked = LedgerTransaction.objects.filter(kind="card_charged", subject_ref=invoice.ref)
    assert booked.count() == 1
    assert selectors.outstanding(invoice=invoice) == 0


def test_a_card_on_file_opens_a_credit_line_and_only_shows_four_digits(tenant, lab, gateway):
    card = _card(tenant, lab, gateway)
    assert (card.state, card.brand, card.last4, card.is_default) == (CardState.ACTIVE, "visa", "4242", True)
    assert selectors.balance(tenant_id=tenant.pk).available == LIMIT.amount
    kinds = list(AuditEvent.objects.filter(subject_ref=card.ref).order_by("pk").values_list("kind", flat=True))
    assert kinds == ["card.created", "card.confirm"]
    assert list(selectors.cards(actor=member_of(tenant))) == [card]
    assert "4242424242424242" not in str(list(PaymentMethod.objects.values()) + list(AuditEvent.objects.values()))


def test_a_card_whose_owner_is_asked_at_setup_is_on_file_after_the_answer(tenant, lab, gateway):
    assert _card(tenant, lab, gateway, "4000002500003155").state == CardState.ACTIVE


def test_a_card_not_entered_yet_waits_and_an_abandoned_one_lapses(tenant, lab, gateway):
    setup = services.begin_card_setup(
        tenant=tenant, actor=member_of(tenant), gateway=gateway, success_url="http://t/", cancel_url="http://t/"
    )
    asked = {"card_ref": setup.card_ref, "gateway": gateway, "credit_limit": LIMIT, "actor": CONDUCTOR}
    assert services.refresh_card(**asked).state == CardState.PENDING
    lab.fake.store.clock_offset_s = 25 * 3600
    assert services.refresh_card(**asked).state == CardState.LAPSED
    assert selectors.balance(tenant_id=tenant.pk).available == 0


def test_a_tenant_is_one_customer_however_many_cards(tenant, lab, gateway):
    first, second = _card(tenant, lab, gateway), _card(tenant, lab, gateway, "5555555555554444")
    assert (first.is_default, second.is_default) == (True, False)
    assert len(lab.objects("customer")) == 1
    assert CreditLine.objects.filter(closed_at=None).count() == 1


def test_removing_the_last_card_closes_its_credit_line(tenant, lab, gateway):
    first, second = _card(tenant, lab, gateway), _card(tenant, lab, gateway, "5555555555554444")
    with pytest.raises(NotFound):
        services.remove_card(actor=member_of(make_tenant()), card_ref=first.ref, gateway=gateway)
    services.remove_card(actor=member_of(tenant), card_ref=first.ref, gateway=gateway)
    second.refresh_from_db()
    assert second.is_default
    services.remove_card(actor=member_of(tenant), card_ref=second.ref, gateway=gateway)
    assert selectors.balance(tenant_id=tenant.pk).credit_line == 0
    assert {method["customer"] for method in lab.objects("payment_method")} == {None}


def test_an_issued_invoice_is_charged_to_the_card_on_file(tenant, lab, gateway):
    _card(tenant, lab, gateway)
    invoice = _issued(tenant)
    charge = Charge.objects.get()
    assert (charge.state, charge.amount, charge.invoice_id) == (ChargeState.PENDING, Decimal("28.07"), invoice.pk)
    assert _send(gateway) == 1
    charge.refresh_from_db()
    assert charge.state == ChargeState.SUCCEEDED
    _paid_once(invoice, lab, "28.07")
    (intent,) = lab.objects("payment_intent")
    assert (intent["description"], intent["metadata"]) == (invoice.number, {"chapek_charge": charge.ref})
    assert selectors.balance(tenant_id=tenant.pk).available == LIMIT.amount


def test_prepaid_credit_goes_first_and_the_card_pays_the_rest(tenant, lab, gateway):
    _card(tenant, lab, gateway)
    services.grant_credit(tenant=tenant, amount=eur("8.07"), reason="x", actor=OPERATOR)
    invoice = _issued(tenant)
    _send(gateway)
    _paid_once(invoice, lab, "20.00")


@pytest.mark.parametrize(
    ("number", "reason"), [("4000000000000341", "generic_decline"), ("4000002760003184", "authentication_required")]
)
def test_a_refused_charge_leaves_the_invoice_owed_and_says_why(tenant, lab, gateway, number, reason):
    _card(tenant, lab, gateway, number)
    invoice = _issued(tenant)
    _send(gateway)
    charge = Charge.objects.get()
    wanted = ChargeState.ACTION_REQUIRED if reason == "authentication_required" else ChargeState.DECLINED
    assert (charge.state, charge.failure_code) == (wanted, reason)
    assert charge.payment_ref.startswith("pi_")
    invoice.refresh_from_db()
    assert (invoice.state, selectors.outstanding(invoice=invoice)) == (InvoiceState.ISSUED, Decimal("28.07"))
    assert OutboxEvent.objects.filter(kind=f"charge.{wanted}").count() == 1
    assert _send(gateway) == 0


def test_after_a_decline_another_card_can_be_charged_once(tenant, lab, gateway):
    bad = _card(tenant, lab, gateway, "4000000000000341")
    invoice = _issued(tenant)
    _send(gateway)
    services.remove_card(actor=member_of(tenant), card_ref=bad.ref, gateway=gateway)
    _card(tenant, lab, gateway)
    with transaction.atomic():
        again = services.request_charge(invoice=invoice, actor=member_of(tenant))
        assert services.request_charge(invoice=invoice, actor=member_of(tenant)) is None
    assert again.attempt == 2
    _send(gateway)
    _paid_once(invoice, lab, "28.07")


def test_the_owner_confirms_at_the_bank_and_the_invoice_is_paid(tenant, lab, gateway):
    _card(tenant, lab, gateway, "4000002760003184")
    invoice = _issued(tenant)
    _send(gateway)
    charge = Charge.objects.get()
    with pytest.raises(NotFound):
        services.authenticate_charge(
            actor=member_of(make_tenant()), charge_ref=charge.ref, return_url="http://t/", gateway=gateway
        )
    url = services.authenticate_charge(
        actor=member_of(tenant), charge_ref=charge.ref, return_url="http://testserver/cards", gateway=gateway
    )
    assert browse(url, answer="yes").startswith("http://testserver/cards?payment_intent=")
    _news(lab, gateway, "payment_intent.succeeded")
    _paid_once(invoice, lab, "28.07")
    with pytest.raises(Conflict):
        services.authenticate_charge(
            actor=member_of(tenant), charge_ref=charge.ref, return_url="http://t/", gateway=gateway
        )


def test_a_top_up_becomes_prepaid_credit(tenant, lab, gateway):
    with pytest.raises(Conflict):
        services.request_top_up(tenant=tenant, amount=eur("50.00"), actor=member_of(tenant))
    _card(tenant, lab, gateway)
    services.request_top_up(tenant=tenant, amount=eur("50.00"), actor=member_of(tenant))
    _send(gateway)
    assert selectors.balance(tenant_id=tenant.pk).prepaid == Decimal("50.00")


def test_less_than_a_card_can_be_charged_stays_owed(tenant, lab, gateway):
    _card(tenant, lab, gateway)
    services.grant_credit(tenant=tenant, amount=eur("27.58"), reason="x", actor=OPERATOR)
    invoice = _issued(tenant)
    assert (selectors.outstanding(invoice=invoice), Charge.objects.count()) == (Decimal("0.49"), 0)
    with pytest.raises(InvalidRequest):
        services.request_top_up(tenant=tenant, amount=eur("0.49"), actor=member_of(tenant))


class Killed(BaseException):
    """The worker died here."""


@pytest.mark.parametrize("moment", ["before the call", "after the call", "while the answer is booked"])
def test_a_worker_killed_at_any_moment_never_charges_twice(tenant, lab, gateway, monkeypatch, moment):
    _card(tenant, lab, gateway)
    invoice = _issued(tenant)
    real_charge, real_book = gateway.charge, charging._book

    def charge_and_die(**asked):
        if moment == "after the call":
            real_charge(**asked)
        raise Killed

    def book_and_die(*args, **kwargs):
        real_book(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as patched:
        if moment == "while the answer is booked":
            patched.setattr(charging, "_book", book_and_die)
        else:
            patched.setattr(gateway, "charge", charge_and_die)
        with pytest.raises(Killed):
            _send(gateway)
    charge = Charge.objects.get()
    assert (charge.state, charge.sent_count) == (ChargeState.PENDING, 1)
    assert _send(gateway) == 0  # another worker leaves it alone until its time
    _make_due(charge)
    assert _send(gateway) == 1
    _paid_once(invoice, lab, "28.07")


@pytest.mark.parametrize("trouble", ["hang_up_before", "hang_up_after", "rate_limit"])
def test_trouble_on_the_way_is_healed_by_sending_the_same_key_again(tenant, lab, gateway, trouble):
    _card(tenant, lab, gateway)
    invoice = _issued(tenant)
    lab.fake.troubles.add(trouble, path="/v1/payment_intents", times=3)  # more than the SDK repeats by itself
    _send(gateway)
    charge = Charge.objects.get()
    while charge.state == ChargeState.PENDING and charge.sent_count < 5:
        _make_due(charge)
        _send(gateway)
        charge.refresh_from_db()
    _paid_once(invoice, lab, "28.07")
    keys = {key for method, path, key in lab.fake.requests if (method, path) == ("POST", "/v1/payment_intents")}
    assert keys == {charge.idempotency_key}


def test_a_500_is_never_answered_by_a_second_payment(tenant, lab, gateway):
    """The processor keeps a 500 under its key: only looking finds out, after the key's life, that money was taken."""
    _card(tenant, lab, gateway)
    invoice = _issued(tenant)
    lab.fake.troubles.add("error_after", path="/v1/payment_intents")
    _send(gateway)
    charge = Charge.objects.get()
    assert charge.state == ChargeState.PENDING
    _make_due(charge, hours_ago=21)
    lab.fake.store.clock_offset_s = 21 * 3600
    Charge.objects.filter(pk=charge.pk).update(requested_at=database_now() - timedelta(hours=21))
    _send(gateway)
    _paid_once(invoice, lab, "28.07")


def test_a_charge_that_never_arrived_is_given_up_after_the_keys_life(tenant, lab, gateway):
    _card(tenant, lab, gateway)
    invoice = _issued(tenant)
    lab.fake.troubles.add("error_before", path="/v1/payment_intents")
    _send(gateway)
    charge = Charge.objects.get()
    _make_due(charge, hours_ago=21)
    _send(gateway)
    charge.refresh_from_db()
    assert charge.state == ChargeState.FAILED
    with transaction.atomic():
        assert services.request_charge(invoice=invoice, actor=OPERATOR).attempt == 2
    _send(gateway)
    _paid_once(invoice, lab, "28.07")


def test_money_taken_for_an_invoice_paid_meanwhile_becomes_credit(tenant, lab, gateway):
    _card(tenant, lab, gateway)
    invoice = _issued(tenant)
    with transaction.atomic():
        services.grant_credit(tenant=tenant, amount=eur("30.00"), reason="x", actor=OPERATOR)
    invoice.refresh_from_db()
    assert invoice.state == InvoiceState.ISSUED  # left to the charge under way
    _send(gateway)
    _paid_once(invoice, lab, "28.07")
    assert selectors.balance(tenant_id=tenant.pk).prepaid == Decimal("30.00")


def test_the_processor_is_never_called_inside_a_transaction(tenant, lab, gateway):
    _card(tenant, lab, gateway)
    _issued(tenant)
    with pytest.raises(PlatformFault), transaction.atomic():
        _send(gateway)
    assert lab.objects("payment_intent") == []


def test_a_wrong_key_is_the_operators_fault_and_does_not_decline_the_tenant(tenant, lab, gateway):
    _card(tenant, lab, gateway)
    _issued(tenant)
    wrong = StripeGateway(key="sk_live_wrong", base_url=lab.url)
    assert services.run_charge(charge_ref=Charge.objects.get().ref, gateway=wrong) == ChargeState.PENDING
    with pytest.raises(GatewayRefused):
        services.begin_card_setup(
            tenant=make_tenant(), actor=OPERATOR, gateway=wrong, success_url="http://t/", cancel_url="http://t/"
        )


def test_without_a_key_cards_are_not_configured_and_say_so(tenant):
    gateway = PrepaidOnly()
    assert not gateway.is_configured
    with pytest.raises(CardsNotConfigured) as refusal:
        services.begin_card_setup(
            tenant=tenant, actor=member_of(tenant), gateway=gateway, success_url="http://t/", cancel_url="http://t/"
        )
    assert "prepaid" in refusal.value.hint
    assert PaymentMethod.objects.count() == 0


# Webhooks


@pytest.fixture
def hook(settings, lab, client):
    """Deliver an event of the stand-in to our own address, signed as Stripe signs it."""
    settings.CHAPEK_STRIPE_KEY, settings.CHAPEK_STRIPE_URL = "sk_test_lab", lab.url
    settings.CHAPEK_STRIPE_WEBHOOK_SECRET = SECRET

    def deliver(event, *, body=None, secret=SECRET, age_s=0):
        body = body or encode(event)
        header = sign(encode(event), secret=secret, at=lab.fake.store.now() - age_s)
        return client.post(
            "/webhooks/stripe/", data=body, content_type="application/json", headers={"stripe-signature": header}
        )

    return deliver


def _process(gateway):
    return services.process_webhooks(at=database_now(), gateway=gateway, credit_limit=LIMIT)


def _news(lab, gateway, kind):
    """Hand the events of one kind straight to the service and process them."""
    for event in lab.events(kind):
        facts = gateway.read_webhook(
            body=encode(event), signature=sign(encode(event), secret=SECRET, at=lab.fake.store.now())
        )
        services.receive_webhook(gateway_name=gateway.name, facts=facts)
    _process(gateway)


def test_an_event_is_taken_once_however_often_it_comes(tenant, lab, gateway, hook):
    _card(tenant, lab, gateway)
    invoice = _issued(tenant)
    _send(gateway)
    (event,) = lab.events("payment_intent.succeeded")
    assert [hook(event).status_code for _ in range(3)] == [204, 204, 204]
    assert WebhookEvent.objects.count() == 1
    assert (_process(gateway), _process(gateway)) == (1, 0)
    _paid_once(invoice, lab, "28.07")


@pytest.mark.parametrize("turned_round", [False, True])
def test_news_may_come_before_our_own_answer_and_in_any_order(tenant, lab, gateway, hook, monkeypatch, turned_round):
    _card(tenant, lab, gateway)
    invoice = _issued(tenant)
    real = gateway.charge

    def answered_late(**asked):
        facts = real(**asked)
        kinds = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]
        events = [event for event in lab.fake.store.events if event["type"] in kinds]
        for event in reversed(events) if turned_round else events:
            assert hook(event).status_code == 204
        _process(gateway)
        return facts

    monkeypatch.setattr(gateway, "charge", answered_late)
    _send(gateway)
    _paid_once(invoice, lab, "28.07")
    assert AuditEvent.objects.filter(kind="charge.succeed").count() == 1


def test_an_old_refusal_that_arrives_after_the_success_changes_nothing(tenant, lab, gateway, hook):
    _card(tenant, lab, gateway, "4000002760003184")
    invoice = _issued(tenant)
    _send(gateway)
    charge = Charge.objects.get()
    url = services.authenticate_charge(
        actor=member_of(tenant), charge_ref=charge.ref, return_url="http://t/", gateway=gateway
    )
    browse(url, answer="yes")
    for event in reversed([e for e in lab.fake.store.events if e["type"].startswith("payment_intent.")]):
        assert hook(event).status_code == 204
    _process(gateway)
    _paid_once(invoice, lab, "28.07")


def test_a_card_comes_on_file_by_the_processors_news_alone(tenant, lab, gateway, hook):
    setup = services.begin_card_setup(
        tenant=tenant, actor=member_of(tenant), gateway=gateway, success_url="http://t/", cancel_url="http://t/"
    )
    lab.enter_card(setup.url, "4242424242424242")
    (event,) = lab.events("checkout.session.completed")
    assert hook(event).status_code == 204
    _process(gateway)
    assert PaymentMethod.objects.get().state == CardState.ACTIVE


def test_news_that_cannot_be_looked_up_now_is_looked_up_later(tenant, lab, gateway, hook):
    _card(tenant, lab, gateway, "4000002760003184")
    _issued(tenant)
    _send(gateway)
    (event,) = lab.events("payment_intent.payment_failed")
    hook(event)
    lab.fake.troubles.add("hang_up_before", path="/v1/payment_intents/", times=3)
    _process(gateway)
    stored = WebhookEvent.objects.get()
    assert (stored.processed_at, stored.attempts) == (None, 1)
    WebhookEvent.objects.update(next_attempt_at=database_now())
    _process(gateway)
    assert WebhookEvent.objects.get().processed_at is not None


@pytest.mark.parametrize("forgery", ["other secret", "other body", "too old", "no signature", "not json"])
def test_what_the_processor_did_not_sign_is_refused(tenant, lab, gateway, hook, client, forgery):
    _card(tenant, lab, gateway)
    event = lab.fake.store.events[-1]
    if forgery == "other secret":
        answer = hook(event, secret="whsec_other")
    elif forgery == "other body":
        answer = hook(event, body=encode({**event, "id": "evt_forged"}))
    elif forgery == "too old":
        answer = hook(event, age_s=301)
    elif forgery == "not json":
        answer = hook(event, body=b"\xff\xfe")
    else:
        answer = client.post("/webhooks/stripe/", data=encode(event), content_type="application/json")
    assert answer.status_code == 400
    assert WebhookEvent.objects.count() == 0


def test_the_webhook_address_takes_nothing_but_posts_and_needs_a_configured_secret(settings, client):
    assert client.get("/webhooks/stripe/").status_code == 405
    settings.CHAPEK_STRIPE_KEY = ""
    assert client.post("/webhooks/stripe/", data=b"{}", content_type="application/json").status_code == 409


def test_the_database_keeps_one_live_charge_per_invoice(tenant, lab, gateway):
    _card(tenant, lab, gateway)
    _issued(tenant)
    with pytest.raises(Exception, match="one_live_charge_per_invoice"), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing_charge SELECT (jsonb_populate_record(c, jsonb_build_object("
            "'id', c.id + 1, 'ref', 'chg_x', 'attempt', 9, 'idempotency_key', 'x'))).* FROM billing_charge c"
        )
