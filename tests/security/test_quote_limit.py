"""Open quotes are promises, rows and log events that somebody pays for: a tenant has a bounded number of them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F

from compliance.audit.models import AuditEvent
from reservations import services
from reservations.errors import LimitReached
from reservations.models import Quote
from tests.accounts import people
from tests.api import caller
from tests.reservations import world


@pytest.fixture(autouse=True)
def three(settings):
    settings.CHAPEK_OPEN_QUOTES = 3


@pytest.mark.django_db
def test_one_quote_too_many_is_refused_and_leaves_nothing(buyer):
    for _ in range(3):
        services.quote(actor=buyer.actor, request=world.ask())
    logged = AuditEvent.objects.count()
    answer = buyer.post("/quotes", {"node_type": "h200-8"})
    body = caller.problem(answer, 409, "limit-reached")
    assert body["facts"] == {"limit": 3, "open": 3}
    assert "expires" in body["hint"]
    assert (Quote.objects.count(), AuditEvent.objects.count()) == (3, logged)


@pytest.mark.django_db
def test_expired_used_and_other_tenants_quotes_do_not_count(buyer):
    for _ in range(3):
        services.quote(actor=buyer.actor, request=world.ask())
    Quote.objects.update(expires_at=F("created_at") - timedelta(seconds=1))
    world.buy(buyer.actor, buyer.ssh_key)
    for _ in range(3):
        services.quote(actor=buyer.actor, request=world.ask())
    other, _key = world.make_buyer()
    services.quote(actor=other, request=world.ask())
    with pytest.raises(LimitReached):
        services.quote(actor=buyer.actor, request=world.ask())


@pytest.mark.django_db
def test_who_changes_their_mind_on_the_page_keeps_one_open(buyer):
    portal = caller.with_session(buyer.user).client
    shown = ""
    for count in (1, 2, 1, 2, 1):
        answer = portal.post(
            "/reserve/quote/",
            {"choose_by": "type", "node_type": "h200-8", "node_count": count, "start": "now", "end": "open",
             "quote": shown},
        )  # fmt: skip
        assert answer.status_code == 200
        shown = Quote.objects.order_by("-pk").values_list("ref", flat=True).first()
        assert shown in answer.content.decode()
    assert list(Quote.objects.order_by("pk").values_list("state", flat=True)) == ["withdrawn"] * 4 + ["open"]


@pytest.mark.django_db
def test_nobody_withdraws_a_strangers_quote(buyer):
    mine = services.quote(actor=buyer.actor, request=world.ask())
    _tenant, stranger, _actor = people.make_tenant()
    portal = caller.with_session(stranger).client
    for named in (mine.ref, "quo_none", "\x00", "x" * 5000):
        answer = portal.post(
            "/reserve/quote/",
            {"choose_by": "type", "node_type": "h200-8", "node_count": 1, "start": "now", "end": "open",
             "quote": named},
        )  # fmt: skip
        assert answer.status_code == 200, named
    mine.refresh_from_db()
    assert mine.state == "open"


@pytest.mark.django_db(transaction=True)
def test_parallel_requests_pass_the_limit_no_better(buyer):
    def ask(_number):
        try:
            services.quote(actor=buyer.actor, request=world.ask())
        except LimitReached:
            return False
        else:
            return True
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=8) as pool:
        assert sum(pool.map(ask, range(12))) == 3
