import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import selectors, services
from billing.errors import InsufficientFunds
from billing.models import Hold
from common.models import OutboxEvent
from common.money import Money
from tests.billing.world import CONDUCTOR, OPERATOR, eur, subject, utc
from tests.campaigns import examples

pytestmark = pytest.mark.django_db
START = utc(2026, 5, 1, 10)
HOURLY = eur("28.07")  # 8 x 2.90 and 21 % tax


def _fund(tenant, amount):
    services.grant_credit(tenant=tenant, amount=eur(amount), reason="test", actor=OPERATOR)


def _hold(tenant, ref="res_a", hourly=HOURLY, at=START, **more):
    return services.hold_next_hour(tenant_id=tenant.pk, reservation_ref=ref, hourly_gross=hourly, at=at, **more)


def _meter(tenant, price, ref="res_a", at=START):
    snapshot = services.freeze_price(tenant=tenant, price=price)
    services.start_metering(
        tenant_id=tenant.pk, reservation_ref=ref, snapshot=snapshot, nodes=[subject()], from_at=at, actor=CONDUCTOR
    )


def _news(kind):
    return [event.payload for event in OutboxEvent.objects.filter(kind=kind).order_by("pk")]


def test_an_hour_is_held_and_no_longer_available(tenant):
    _fund(tenant, "50.00")
    assert _hold(tenant).amount == Decimal("28.07")
    assert selectors.balance(tenant_id=tenant.pk).available == Decimal("21.93")


def test_too_little_money_holds_nothing_and_says_what_is_missing(tenant):
    _fund(tenant, "28.06")
    with pytest.raises(InsufficientFunds) as refusal:
        _hold(tenant)
    assert (refusal.value.status, refusal.value.context["needed"], refusal.value.context["available"]) == (
        402,
        "28.07",
        "28.06",
    )
    assert refusal.value.hint
    assert Hold.objects.count() == 0


def test_the_last_cent_is_enough(tenant):
    _fund(tenant, "28.07")
    _hold(tenant)
    assert selectors.balance(tenant_id=tenant.pk).available == 0


def test_a_fixed_end_within_the_hour_holds_only_what_it_can_use(tenant):
    _fund(tenant, "50.00")
    assert _hold(tenant, ends_at=START + timedelta(minutes=15)).amount == Decimal("7.02")


def test_a_credit_line_stands_in_for_prepaid_money(tenant):
    services.open_credit_line(tenant=tenant, limit=eur("100.00"), actor=OPERATOR)
    _hold(tenant)
    assert selectors.balance(tenant_id=tenant.pk).available == Decimal("71.93")


def test_holding_again_with_another_price_moves_the_same_hold(tenant):
    _fund(tenant, "100.00")
    first = _hold(tenant)
    again = _hold(tenant, hourly=eur("56.14"))
    assert (again.pk, again.amount) == (first.pk, Decimal("56.14"))


def test_a_released_hold_that_used_nothing_frees_everything(tenant):
    _fund(tenant, "50.00")
    _hold(tenant)
    services.release_hold(reservation_ref="res_a", at=START)
    assert selectors.balance(tenant_id=tenant.pk).available == Decimal("50.00")
    assert services.release_hold(reservation_ref="res_a", at=START) is None


def test_what_was_used_stays_held_until_its_invoice_is_issued(tenant, price, now):
    _fund(tenant, "50.00")
    _hold(tenant)
    _meter(tenant, price)
    end = START + timedelta(minutes=30)
    services.stop_metering(reservation_ref="res_a", until_at=end, actor=CONDUCTOR)
    services.release_hold(reservation_ref="res_a", at=end)
    money = selectors.balance(tenant_id=tenant.pk)
    assert (money.held, money.available) == (Decimal("14.04"), Decimal("35.96"))
    invoice = services.draft_invoice(tenant_id=tenant.pk, reservation_ref="res_a", at=now, actor=OPERATOR)
    services.issue_invoice(invoice=invoice, actor=OPERATOR)
    money = selectors.balance(tenant_id=tenant.pk)
    assert (money.held, money.prepaid, money.available) == (Decimal(0), Decimal("35.96"), Decimal("35.96"))


def test_each_renewal_holds_what_was_used_and_an_hour_ahead(tenant, price):
    _fund(tenant, "100.00")
    _hold(tenant)
    _meter(tenant, price)
    done = services.renew_holds(at=START + timedelta(minutes=60))
    assert (done.renewed, done.short) == (1, 0)
    assert Hold.objects.get().amount == Decimal("56.14")


def test_a_reservation_that_is_not_metered_yet_holds_its_hour_and_no_more(tenant):
    _fund(tenant, "100.00")
    _hold(tenant)
    services.renew_holds(at=START + timedelta(hours=5))
    assert Hold.objects.get().amount == Decimal("28.07")


def test_warnings_come_once_each_and_the_end_within_the_last_minute(tenant, price):
    """50.00 lasts 106 minutes and 52 seconds at 28.07 an hour."""
    _fund(tenant, "50.00")
    _hold(tenant)
    _meter(tenant, price)
    seen = {}
    for minute in range(1, 110):
        services.renew_holds(at=START + timedelta(minutes=minute))
        for kind in ("money.low", "money.exhausted"):
            for payload in _news(kind):
                seen.setdefault((kind, payload.get("level")), minute)
        money = selectors.balance(tenant_id=tenant.pk)
        assert money.available >= 0
    assert seen == {("money.low", 80): 26, ("money.low", 100): 47, ("money.exhausted", None): 106}
    assert len(_news("money.low")) == 2
    assert _news("money.exhausted") == [{"reservation_ref": "res_a", "tenant_id": tenant.pk}]
    spent = selectors.cost_of(reservation_refs=["res_a"], at=START + timedelta(minutes=106))["res_a"].gross
    assert spent <= Decimal("50.00")


def test_new_money_arms_the_warnings_again(tenant, price):
    _fund(tenant, "50.00")
    _hold(tenant)
    _meter(tenant, price)
    for minute in range(1, 110):
        services.renew_holds(at=START + timedelta(minutes=minute))
    _fund(tenant, "1000.00")
    services.renew_holds(at=START + timedelta(minutes=110))
    hold = Hold.objects.get()
    assert (hold.warned_level, hold.exhausted_at) == (0, None)


def test_money_that_lasts_to_the_fixed_end_is_not_called_exhausted(tenant, price):
    _fund(tenant, "28.07")
    _hold(tenant, ends_at=START + timedelta(hours=1))
    _meter(tenant, price)
    for minute in range(1, 61):
        services.renew_holds(at=START + timedelta(minutes=minute))
    assert _news("money.exhausted") == []


@settings(max_examples=examples(15, full_count=1000), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    credit=st.integers(min_value=1, max_value=30_000),
    steps=st.lists(
        st.tuples(st.sampled_from(["hold", "meter", "renew", "release"]), st.integers(0, 3), st.integers(0, 7200)),
        max_size=14,
    ),
)
def test_no_order_of_events_promises_more_money_than_there_is(tenant, price, credit, steps):
    """What was held before a price was paid is never given twice: held money stays within funds, whatever happens."""
    with transaction.atomic():
        _fund(tenant, Decimal(credit) / 100)
        at, metered = START, set()
        for act, which, pause_s in steps:
            at += timedelta(seconds=pause_s)
            ref = f"res_{which}"
            if act == "hold":
                try:
                    _hold(tenant, ref=ref, at=at)
                except InsufficientFunds:
                    continue
            elif act == "meter" and ref not in metered and Hold.objects.filter(reservation_ref=ref).exists():
                _meter(tenant, price, ref=ref, at=at)
                metered.add(ref)
            elif act == "renew":
                services.renew_holds(at=at)
                assert selectors.balance(tenant_id=tenant.pk).available >= 0
            elif act == "release" and ref not in metered:
                services.release_hold(reservation_ref=ref, at=at)
            assert selectors.balance(tenant_id=tenant.pk).available >= 0
            assert not Hold.objects.filter(amount__lt=0).exists()
        transaction.set_rollback(True)


@pytest.mark.django_db(transaction=True)
def test_buyers_at_the_same_moment_cannot_hold_the_same_money(tenant):
    _fund(tenant, "100.00")  # enough for three hours of 28.07
    outcomes, gate = [], threading.Barrier(8)

    def buy(number):
        try:
            gate.wait()
            with transaction.atomic():
                _hold(tenant, ref=f"res_{number}")
            outcomes.append("held")
        except InsufficientFunds:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=buy, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["held"] * 3 + ["refused"] * 5
    assert selectors.balance(tenant_id=tenant.pk).available == Decimal("15.79")


def test_money_of_another_currency_is_not_counted(tenant):
    _fund(tenant, "100.00")
    with pytest.raises(InsufficientFunds):
        _hold(tenant, hourly=Money(Decimal(1), "CZK"))
