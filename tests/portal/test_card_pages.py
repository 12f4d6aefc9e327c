"""A card is entered on the processor's page, put on file, charged for credit and removed, all in the portal."""

import re
from decimal import Decimal

import pytest
from django.test import Client

from accounts.models import User
from billing import selectors, services
from billing.gateway import gateway_from_settings
from billing.models import Charge, PaymentMethod
from billing.states import CardState
from tests.billing.stripe_lab import RunningLab
from tests.billing.world import make_seller
from tests.reservations.world import make_buyer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lab(settings, monkeypatch):
    running = RunningLab()
    settings.CHAPEK_STRIPE_KEY, settings.CHAPEK_STRIPE_URL = "sk_test_lab", running.url
    monkeypatch.setattr("billing.services.charging._wake", lambda _ref: None)
    yield running
    running.stop()


@pytest.fixture
def member(db):
    make_seller()
    actor, _key = make_buyer(credit="0")
    client = Client()
    client.force_login(User.objects.get(pk=actor.user_id))
    return client, actor


def enter(client, lab, number="4242424242424242"):
    page = client.post("/billing/cards/add/").content.decode()
    assert '<form method="post" action="http' not in page, "no form may lead to another host"
    lab.enter_card(re.search(rf'href="({lab.url}[^"]+)"', page).group(1), number)
    return client.get("/billing/cards/return/", follow=True).content.decode()


def test_a_card_goes_on_file_tops_up_and_comes_off_again(lab, member):
    client, actor = member
    page = enter(client, lab)
    assert "4242" in page
    card = PaymentMethod.objects.get()
    assert (card.state, card.is_default) == (CardState.ACTIVE, True)
    client.post("/billing/top-up/", {"amount": "50.00"})
    charge = Charge.objects.get()
    services.run_charge(charge_ref=charge.ref, gateway=gateway_from_settings())
    assert selectors.balance(tenant_id=actor.tenant_id).prepaid == Decimal("50.00")
    assert client.get(f"/billing/cards/{card.ref}/remove/").status_code == 200
    client.post(f"/billing/cards/{card.ref}/remove/")
    card.refresh_from_db()
    assert card.state == CardState.REMOVED
    assert "4242" not in client.get("/billing/").content.decode().split('id="cards-title"')[1].split("</section>")[0]


@pytest.mark.parametrize("amount", ["", "0", "9.99", "-50", "1e9", "ten", "12.345"])
def test_a_bad_amount_is_said_and_charges_nothing(lab, member, amount):
    client, _actor = member
    enter(client, lab)
    answer = client.post("/billing/top-up/", {"amount": amount}, follow=True)
    assert "Amount" in answer.content.decode()
    assert not Charge.objects.exists()


def test_a_strangers_card_is_not_found_and_stays(lab, member):
    client, _actor = member
    enter(client, lab)
    card = PaymentMethod.objects.get()
    stranger, _key = make_buyer(credit="0")
    other = Client()
    other.force_login(User.objects.get(pk=stranger.user_id))
    assert other.get(f"/billing/cards/{card.ref}/remove/").status_code == 404
    assert other.post(f"/billing/cards/{card.ref}/remove/").status_code == 404
    card.refresh_from_db()
    assert card.state == CardState.ACTIVE


def test_without_a_processor_the_page_says_that_credit_is_for_demonstration(member, settings):
    settings.CHAPEK_STRIPE_KEY = ""
    client, _actor = member
    assert "prepaid demonstration credit" in client.get("/billing/").content.decode()
    assert client.post("/billing/cards/add/").status_code in {409, 422, 503, 400}
    assert not PaymentMethod.objects.exists()
