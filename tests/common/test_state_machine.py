"""``fire``: one statement that locks, checks and saves; the row's own state decides, whatever the instance believes."""

import threading

import psycopg
import pytest
from django.db import connection, connections, transaction

from common.clock import database_now
from common.state_machine import IllegalTransition, fire
from compliance.audit.models import AuditEvent
from embedded.client import wait_for
from inventory.models import Node
from inventory.states import NODE, NodeEvent, NodeState
from tests.billing.world import OPERATOR
from tests.reservations import world

LATER_S = 1000


def make_node(**facts):
    return world.make_node(site=world.make_site(), node_type=world.make_type(), **facts)


def events_of(node) -> list[str]:
    return list(AuditEvent.objects.filter(subject_ref=node.ref).order_by("pk").values_list("kind", flat=True))


def test_an_instance_that_lags_behind_is_moved_from_where_its_row_is(db):
    node = make_node(state=NodeState.QUARANTINED)
    node.state = NodeState.AVAILABLE
    moved = fire(machine=NODE, subject=node, event=NodeEvent.MAINTAIN, actor=OPERATOR)
    assert (moved.source, moved.target, node.state) == (NodeState.QUARANTINED, NodeState.MAINTENANCE, moved.target)
    node.refresh_from_db()
    assert (node.state, node.state_changed_at) == (NodeState.MAINTENANCE, moved.at)
    assert events_of(node) == ["node.maintain"]


def test_what_the_row_does_not_allow_is_refused_though_the_instance_would(db):
    node = make_node(state=NodeState.ACTIVE)
    node.state = NodeState.AVAILABLE
    with pytest.raises(IllegalTransition) as refused:
        fire(machine=NODE, subject=node, event=NodeEvent.MAINTAIN, actor=OPERATOR)
    assert refused.value.context["state"] == NodeState.ACTIVE
    node.refresh_from_db()
    assert (node.state, events_of(node)) == (NodeState.ACTIVE, [])


def is_waiting_for_a_lock() -> bool | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return cursor.fetchone()[0] > 0 or None


@pytest.mark.django_db(transaction=True)
def test_the_time_of_a_change_is_read_after_its_row_is_held():
    """Another transaction only locks the row: PostgreSQL would not compute a waiting update's values anew for that."""
    node = make_node()
    began, seen = database_now(), []

    def change() -> None:
        try:
            with transaction.atomic():
                mine = Node.objects.get(pk=node.pk)
                seen.append(fire(machine=NODE, subject=mine, event=NodeEvent.MAINTAIN, actor=OPERATOR))
        finally:
            connections.close_all()

    facts = connection.get_connection_params()
    reach = {name: facts[name] for name in ("host", "port", "user", "password", "dbname") if facts.get(name)}
    with psycopg.connect(**reach) as other:
        other.execute("SELECT 1 FROM inventory_node WHERE id = %s FOR NO KEY UPDATE", [node.pk])
        worker = threading.Thread(target=change)
        worker.start()
        wait_for(is_waiting_for_a_lock, timeout_s=20, what="the change to wait for the row", every_s=0.02)
        other.execute("UPDATE chapek_clock_offset SET seconds = %s", [LATER_S])
    worker.join(timeout=20)
    try:
        assert (seen[0].at - began).total_seconds() >= LATER_S
    finally:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE chapek_clock_offset SET seconds = 0")
