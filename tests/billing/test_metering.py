import itertools
from datetime import timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError

from billing import selectors, services
from billing.errors import MeteringOverlap
from billing.models import AccountKind, LedgerEntry, UsageInterval
from billing.states import UsageState
from common.errors import InvalidRequest
from compliance.audit.models import AuditEvent
from tests.billing.world import CONDUCTOR, run_sql, subject, use, utc

pytestmark = pytest.mark.django_db


def _start(tenant, price, nodes, from_at, ref="res_a"):
    snapshot = services.freeze_price(tenant=tenant, price=price)
    return services.start_metering(
        tenant_id=tenant.pk, reservation_ref=ref, snapshot=snapshot, nodes=nodes, from_at=from_at, actor=CONDUCTOR
    )


def test_an_interval_is_rated_posted_and_audited_when_it_ends(tenant, price):
    use(tenant, price, from_at=utc(2026, 5, 1, 10), until_at=utc(2026, 5, 1, 11, 0, 1), reservation_ref="res_a")
    row = UsageInterval.objects.get()
    assert row.state == UsageState.CLOSED
    assert row.seconds(at=row.until_at) == 3601
    assert row.net_amount == Decimal("23.21")  # 3601 x 8 x 2.90 / 3600 = 23.2064...
    entries = {entry.account.kind: entry.amount for entry in LedgerEntry.objects.select_related("account")}
    assert entries == {AccountKind.ACCRUED: Decimal("23.21"), AccountKind.REVENUE: Decimal("-23.21")}
    kinds = list(AuditEvent.objects.filter(context_ref="res_a").order_by("pk").values_list("kind", flat=True))
    assert kinds == ["usage.created", "usage.close"]


@pytest.mark.parametrize(
    ("from_at", "until_at", "seconds"),
    [
        (utc(2026, 5, 1, 23, 59, 59), utc(2026, 5, 2, 0, 0, 1), 2),
        (utc(2026, 3, 29, 0, 30), utc(2026, 3, 29, 1, 30), 3600),  # clocks in Prague jump from 02:00 to 03:00
        (utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30), 3600),  # and fall back from 03:00 to 02:00
        (utc(2028, 2, 28, 12), utc(2028, 3, 1, 12), 2 * 86400),
        (utc(2026, 5, 1), utc(2026, 5, 1), 0),
    ],
)
def test_seconds_are_those_that_passed_whatever_the_calendar_does(tenant, price, from_at, until_at, seconds):
    prague = ZoneInfo("Europe/Prague")
    ref = use(tenant, price, from_at=from_at.astimezone(prague), until_at=until_at.astimezone(prague))
    assert selectors.cost_of(reservation_refs=[ref], at=until_at)[ref].seconds == seconds


def test_consecutive_intervals_of_a_node_leave_no_second_out_and_count_none_twice(tenant, price):
    node = subject()
    cuts = [utc(2026, 5, 1, 10, 0, second) for second in (0, 7, 7, 31, 59)]
    for number, (from_at, until_at) in enumerate(itertools.pairwise(cuts)):
        use(tenant, price, from_at=from_at, until_at=until_at, nodes=[node], reservation_ref=f"res_{number}")
    rows = UsageInterval.objects.order_by("from_at", "pk")
    assert sum(row.seconds(at=row.until_at) for row in rows) == 59


def test_a_node_is_never_metered_twice_for_one_second(tenant, price):
    node = subject()
    use(tenant, price, from_at=utc(2026, 5, 1, 10), until_at=utc(2026, 5, 1, 12), nodes=[node])
    with pytest.raises(MeteringOverlap):
        _start(tenant, price, [node], utc(2026, 5, 1, 11, 59, 59), ref="res_b")
    assert UsageInterval.objects.count() == 1
    _start(tenant, price, [node], utc(2026, 5, 1, 12), ref="res_b")
    assert UsageInterval.objects.count() == 2


def test_starting_again_changes_nothing(tenant, price):
    nodes = [subject(), subject()]
    assert len(_start(tenant, price, nodes, utc(2026, 5, 1, 10))) == 2
    assert _start(tenant, price, nodes, utc(2026, 5, 1, 11)) == []
    assert UsageInterval.objects.count() == 2


def test_stopping_again_changes_nothing(tenant, price):
    ref = use(tenant, price, from_at=utc(2026, 5, 1, 10), until_at=utc(2026, 5, 1, 11))
    assert services.stop_metering(reservation_ref=ref, until_at=utc(2026, 5, 1, 12), actor=CONDUCTOR) == []
    assert UsageInterval.objects.get().until_at == utc(2026, 5, 1, 11)


def test_a_clock_that_stepped_back_bills_nothing_and_stops_nobody(tenant, price):
    ref = use(tenant, price, from_at=utc(2026, 5, 1, 10, 0, 5), until_at=utc(2026, 5, 1, 10, 0, 4))
    row = UsageInterval.objects.get(reservation_ref=ref)
    assert (row.until_at, row.net_amount) == (utc(2026, 5, 1, 10, 0, 5), Decimal("0.00"))
    assert LedgerEntry.objects.count() == 0


def test_one_node_of_a_reservation_can_be_stopped_alone(tenant, price):
    first, second = subject(), subject()
    _start(tenant, price, [first, second], utc(2026, 5, 1, 10))
    services.stop_metering(
        reservation_ref="res_a", until_at=utc(2026, 5, 1, 11), actor=CONDUCTOR, node_ids=[first.node_id]
    )
    assert list(UsageInterval.objects.filter(until_at=None).values_list("node_id", flat=True)) == [second.node_id]


def test_a_cut_goes_on_in_the_same_second(tenant, price):
    _start(tenant, price, [subject()], utc(2026, 5, 1, 10))
    at = utc(2026, 5, 1, 10, 30, 1)
    assert services.cut_metering(tenant_id=tenant.pk, at=at, actor=CONDUCTOR) == 1
    first, second = UsageInterval.objects.order_by("from_at")
    assert (first.until_at, second.from_at, second.until_at) == (at, at, None)
    assert (first.node_id, first.rate, first.snapshot_id) == (second.node_id, second.rate, second.snapshot_id)


def test_parts_of_seconds_are_refused(tenant, price):
    with pytest.raises(InvalidRequest):
        _start(tenant, price, [subject()], utc(2026, 5, 1, 10, 0, 0, 1))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE billing_usageinterval SET until_at = until_at - interval '1 second'",
        "UPDATE billing_usageinterval SET gpu_count = 1",
        "UPDATE billing_usageinterval SET state = 'open'",
        "DELETE FROM billing_usageinterval",
        "UPDATE billing_pricesnapshot SET rate = 1",
        "DELETE FROM billing_pricesnapshot",
    ],
)
def test_the_database_refuses_to_change_what_was_used(tenant, price, change):
    use(tenant, price, from_at=utc(2026, 5, 1, 10), until_at=utc(2026, 5, 1, 11))
    with pytest.raises(IntegrityError):
        run_sql(change)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE billing_usageinterval SET rate = 1",
        "UPDATE billing_usageinterval SET from_at = from_at + interval '1 second'",
        "UPDATE billing_usageinterval SET state = 'closed'",
        "UPDATE billing_usageinterval SET until_at = from_at + interval '1 hour', net_amount = 23.21",
        "UPDATE billing_usageinterval SET until_at = from_at + interval '1500 milliseconds', net_amount = 0.01",
        "UPDATE billing_usageinterval SET until_at = from_at + interval '1 hour', net_amount = 23.20",
    ],
)
def test_the_database_refuses_a_meter_that_is_wound_wrong(tenant, price, change):
    _start(tenant, price, [subject()], utc(2026, 5, 1, 10))
    with pytest.raises(IntegrityError):
        run_sql(change)


def test_cost_grows_by_the_second_and_is_the_amount_billed_in_the_end(tenant, price):
    start = utc(2026, 5, 1, 10)
    _start(tenant, price, [subject(), subject()], start)
    for seconds, net in ((0, "0.00"), (1, "0.02"), (61, "0.78"), (3600, "46.40")):
        so_far = selectors.cost_of(reservation_refs=["res_a"], at=start + timedelta(seconds=seconds))["res_a"]
        assert (so_far.seconds, so_far.net) == (2 * seconds, Decimal(net))
        assert so_far.hourly_net == Decimal("46.40")
        assert so_far.gross == so_far.net + so_far.tax
    services.stop_metering(reservation_ref="res_a", until_at=start + timedelta(seconds=61), actor=CONDUCTOR)
    later = selectors.cost_of(reservation_refs=["res_a"], at=start + timedelta(days=9))["res_a"]
    assert (later.net, later.tax, later.hourly_net) == (Decimal("0.78"), Decimal("0.16"), Decimal(0))


def test_cost_of_many_reservations_is_one_query(tenant, price, django_assert_num_queries):
    refs = [use(tenant, price, from_at=utc(2026, 5, 1, 10), until_at=utc(2026, 5, 1, 11)) for _ in range(3)]
    with django_assert_num_queries(1):
        costs = selectors.cost_of(reservation_refs=[*refs, "res_unknown"], at=utc(2026, 5, 2))
    assert [costs[ref].net for ref in refs] == [Decimal("23.20")] * 3
    assert costs["res_unknown"].net == 0
