from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection

from billing.models import Invoice, UsageInterval
from common.clock import database_now
from common.errors import Conflict, DomainError
from common.state_machine import IllegalTransition
from inventory.models import Node
from inventory.states import NodeState
from provisioning.models import Job
from reservations import selectors, services
from reservations.errors import OutOfStock
from reservations.models import Allocation, Reservation
from reservations.states import ReservationState
from tests.reservations.world import buy, make_buyer


@pytest.fixture
def move_clock(db):
    """Move ``chapek_now()``; only a test database lets itself be moved."""

    def move(seconds):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE chapek_clock_offset SET seconds = seconds + %s", [seconds])

    return move


def deployed(reservation):
    """What provisioning's news does when every node has passed its health gate."""
    for node in Node.objects.filter(allocations__reservation=reservation):
        services.node_deployed(reservation_ref=reservation.ref, node_id=node.pk, occurred_at=database_now())
    reservation.refresh_from_db()
    return reservation


def test_active_with_the_last_node_and_metered_from_that_very_second(buyer):
    actor, key = buyer
    made = buy(actor, key, node_count=2)
    first, second = Node.objects.filter(allocations__reservation=made).order_by("pk")
    services.node_deployed(reservation_ref=made.ref, node_id=first.pk, occurred_at=database_now())
    made.refresh_from_db()
    assert made.state == ReservationState.DEPLOYING
    assert not UsageInterval.objects.exists()
    services.node_deployed(reservation_ref=made.ref, node_id=second.pk, occurred_at=database_now())
    made.refresh_from_db()
    assert made.state == ReservationState.ACTIVE
    assert set(UsageInterval.objects.values_list("from_at", flat=True)) == {made.active_at}
    # The same news again changes nothing.
    services.node_deployed(reservation_ref=made.ref, node_id=second.pk, occurred_at=database_now())
    assert UsageInterval.objects.count() == 2


def test_release_stops_the_meter_at_the_second_of_the_change(buyer, move_clock):
    actor, key = buyer
    made = deployed(buy(actor, key))
    move_clock(3600)
    services.release(actor=actor, ref=made.ref)
    made.refresh_from_db()
    [interval] = UsageInterval.objects.all()
    assert interval.until_at == made.released_at
    seconds = int((made.released_at - made.active_at).total_seconds())
    invoice = Invoice.objects.get(reservation_ref=made.ref)
    assert invoice.state == "draft"
    assert invoice.net == (Decimal(24) * seconds / 3600).quantize(Decimal("0.01"))
    node = Node.objects.get(allocations__reservation=made)
    assert node.state == NodeState.CLEANING
    services.node_cleaned(reservation_ref=made.ref, node_id=node.pk, occurred_at=database_now())
    made.refresh_from_db()
    assert made.state == ReservationState.ENDED


def test_a_failed_build_costs_nothing_and_frees_its_companions(buyer):
    actor, key = buyer
    made = buy(actor, key, node_count=2)
    bad, good = Node.objects.filter(allocations__reservation=made).order_by("pk")
    services.node_deployment_failed(reservation_ref=made.ref, node_id=bad.pk, reason="no boot")
    made.refresh_from_db()
    assert made.state == ReservationState.FAILED
    assert made.failure == f"{bad.name}: no boot"
    assert not UsageInterval.objects.exists()
    assert not Invoice.objects.exists()
    assert not Allocation.objects.filter(is_live=True).exists()
    good.refresh_from_db()
    assert good.state == NodeState.CLEANING


def test_a_later_start_promises_now_and_begins_at_its_time(buyer, move_clock):
    actor, key = buyer
    start = database_now() + timedelta(hours=2)
    made = buy(actor, key, starts_at=start, ends_at=start + timedelta(hours=1), node_count=3)
    assert made.state == ReservationState.SCHEDULED
    assert not Job.objects.exists()
    assert services.start_due() == 0
    # Two hours are free before it; one minute into it is not.
    buy(actor, key, ends_at=database_now() + timedelta(minutes=90), name="before")
    with pytest.raises(DomainError):
        buy(actor, key, ends_at=start + timedelta(minutes=1), name="into")
    move_clock(2 * 3600)
    assert services.start_due() == 1
    made.refresh_from_db()
    assert made.state == ReservationState.DEPLOYING


def test_the_end_time_ends_it(buyer, move_clock):
    actor, key = buyer
    made = deployed(buy(actor, key, ends_at=database_now() + timedelta(hours=1)))
    assert services.end_due() == 0
    move_clock(3600)
    assert services.end_due() == 1
    made.refresh_from_db()
    assert made.state == ReservationState.ENDING


def test_the_cap_ends_it(buyer, move_clock):
    actor, key = buyer
    made = deployed(buy(actor, key, max_spend=Decimal("30.00")))
    move_clock(3600)  # 24.00
    assert services.end_due() == 0
    move_clock(1000)
    assert services.end_due() == 1
    made.refresh_from_db()
    assert made.state == ReservationState.ENDING


def test_cancelled_before_its_start_it_frees_nodes_and_money(buyer):
    actor, key = buyer
    start = database_now() + timedelta(days=1)
    made = buy(actor, key, starts_at=start, node_count=3)
    services.cancel(actor=actor, ref=made.ref)
    assert buy(actor, key, starts_at=start, node_count=3, name="next").state == ReservationState.SCHEDULED
    with pytest.raises(IllegalTransition):
        services.release(actor=actor, ref=made.ref)


def test_the_end_moves_unless_someone_is_promised_the_time_after(buyer):
    actor, key = buyer
    now = database_now()
    made = buy(actor, key, ends_at=now + timedelta(hours=1), node_count=3)
    other, other_key = make_buyer()
    buy(other, other_key, starts_at=now + timedelta(hours=3), node_count=3, name="other")
    moved = services.extend(actor=actor, ref=made.ref, ends_at=now + timedelta(hours=2))
    assert moved.ends_at == now + timedelta(hours=2)
    with pytest.raises(OutOfStock):
        services.extend(actor=actor, ref=made.ref, ends_at=now + timedelta(hours=4))
    made.refresh_from_db()
    assert made.ends_at == now + timedelta(hours=2)


def test_power_is_for_active_reservations(buyer):
    actor, key = buyer
    made = buy(actor, key)
    with pytest.raises(Conflict):
        services.power(actor=actor, ref=made.ref, action="power_off")


def test_every_action_says_whether_and_why_not(buyer):
    actor, key = buyer
    made = buy(actor, key)
    actions = {action.name: action for action in selectors.actions(reservation=made)}
    assert actions["release"].available
    assert not actions["power_off"].available
    assert actions["power_off"].reason == "not possible while the reservation is deploying"
    assert all(action.available or action.reason for action in actions.values())


def test_a_released_deployment_never_becomes_active(buyer):
    actor, key = buyer
    made = buy(actor, key)
    services.release(actor=actor, ref=made.ref)
    assert deployed(made).state == ReservationState.ENDING
    assert not UsageInterval.objects.exists()
    assert Reservation.objects.count() == 1
