"""Events are written with the change they tell of, as exact bytes, and the database refuses to change them."""

import json
from datetime import UTC, datetime

import pytest
import rfc8785
from django.db import IntegrityError, connection, transaction

from accounts.states import TENANT
from billing.states import CARD, CHARGE, INVOICE, USAGE
from common.actors import Actor, ActorKind, system_actor
from common.state_machine import Transition, fire
from compliance.audit import payload, services, words
from compliance.audit.errors import EventNotRecordable, EventTooLarge
from compliance.audit.models import AuditEvent, Checkpoint
from inventory.states import NODE
from provisioning.states import JOB
from reservations.states import QUOTE, RESERVATION

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
USER = Actor(kind=ActorKind.USER, ref="usr_01", tenant_id=1, role="admin", request_id="req-7")


def record(**changes):
    facts = {"log_tenant_id": 1, "kind": "node.deploy", "subject_ref": "nod_a", "actor": USER, "details": {}, "at": AT}
    return services.record(**{**facts, **changes})


def test_a_leaf_holds_the_whole_event_as_canonical_bytes():
    event = record(details={"reservation": "res_a", "zone": 2, "b": [1.5, None, "ů"]})
    stored = bytes(AuditEvent.objects.get(pk=event.pk).leaf)
    assert json.loads(stored) == {
        "version": 1,
        "origin": payload.origin(log_tenant_id=1),
        "id": event.ref,
        "kind": "node.deploy",
        "subject": "nod_a",
        "context": "res_a",
        "actor": {"kind": "user", "ref": "usr_01", "role": "admin"},
        "request": "req-7",
        "occurred_at": "2026-11-21T08:30:00Z",
        "details": {"reservation": "res_a", "zone": 2, "b": [1.5, None, "ů"]},
    }
    assert stored == rfc8785.dumps(json.loads(stored))


def test_logs_of_tenants_and_of_the_platform_have_names_of_their_own():
    assert payload.origin(log_tenant_id=1) == f"chapek/{payload.installation()}/tenant/1"
    assert payload.origin(log_tenant_id=None) == f"chapek/{payload.installation()}/platform"


def test_recording_takes_one_statement(django_assert_num_queries):
    payload.installation()
    with django_assert_num_queries(1):
        record()


def test_an_event_rolls_back_with_its_change():
    with transaction.atomic():
        record()
        transaction.set_rollback(True)
    assert AuditEvent.objects.count() == 0


@pytest.mark.parametrize(
    ("subject", "details", "context"),
    [
        ("nod_a", {"reservation": "res_a"}, "res_a"),
        ("res_b", {}, "res_b"),
        ("res_b", {"reservation": "res_a"}, "res_a"),
        ("nod_a", {}, ""),
        ("nod_a", {"reservation": None}, ""),
    ],
)
def test_the_reservation_an_event_belongs_to_is_found_from_its_facts(subject, details, context):
    assert record(subject_ref=subject, details=details).context_ref == context


def test_secrets_are_blanked_by_name_and_by_look():
    leaf = bytes(record(details={"password": "hunter2", "deep": [{"note": "Bearer abc.def"}]}).leaf)
    assert json.loads(leaf)["details"] == {"password": "[redacted]", "deep": [{"note": "Bearer [redacted]"}]}


@pytest.mark.parametrize(
    "details",
    [{"x": float("nan")}, {"x": float("inf")}, {"x": 2**53}, {"x": AT}, {"x": b"raw"}, {1: "x"}, {"x": "\ud800"}],
)
def test_what_json_cannot_carry_exactly_is_refused(details):
    with pytest.raises(EventNotRecordable):
        record(details=details)
    assert AuditEvent.objects.count() == 0


def test_an_event_beyond_64_kib_is_refused_with_both_sizes_named():
    room = payload.LEAF_LIMIT_BYTES - len(bytes(record(details={"x": ""}).leaf))
    assert len(bytes(record(details={"x": "a" * room}).leaf)) == 65535
    with pytest.raises(EventTooLarge, match="takes 65536 bytes, an event may take 65535"):
        record(details={"x": "a" * (room + 1)})


def test_an_actor_is_never_logged_by_an_address():
    with pytest.raises(EventNotRecordable, match="opaque id"):
        record(actor=Actor(kind=ActorKind.USER, ref="ada@example.com"))


def test_an_instant_without_a_time_zone_is_refused():
    with pytest.raises(EventNotRecordable):
        record(at=datetime(2026, 1, 1))  # noqa: DTZ001 - the naive instant is the point


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditevent SET kind = 'x'",
        "UPDATE audit_auditevent SET leaf = '\\x00'",
        "UPDATE audit_auditevent SET index = 5, subject_ref = 'x'",
        "UPDATE audit_auditevent SET id = 0",
        "DELETE FROM audit_auditevent",
    ],
)
def test_the_database_refuses_to_change_or_drop_an_event(statement):
    record()
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_the_place_of_an_event_can_be_set_only_once():
    record()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE audit_auditevent SET index = 0")
    for change in ("index = 1", "index = NULL", "index = 0"):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE audit_auditevent SET {change}")  # noqa: S608 - three literals above


def test_the_database_refuses_a_leaf_that_does_not_fit_its_hash():
    event = record()
    event.pk, event.ref, event.leaf_hash = None, "evt_x", bytes(32)
    with pytest.raises(IntegrityError, match="audit_hash_of_leaf"), transaction.atomic():
        event.save(force_insert=True)


@pytest.mark.parametrize("table", ["audit_tile", "audit_checkpoint", "audit_signingkey"])
def test_the_database_refuses_to_change_what_is_signed(table, log_some):
    log_some(256)
    services.seal()
    for statement in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}"):  # noqa: S608 - names from above
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    assert Checkpoint.objects.count() == 1


def test_truncate_is_refused_wherever_the_database_is_not_a_test_database():
    """The guard reads the database's name, so its text is run with another name in its place."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT prosrc FROM pg_proc WHERE proname = 'audit_refuse'")
        (body,) = cursor.fetchone()
        body = body.replace("current_database()", "'chapek'")
        assert "'chapek'" in body
        cursor.execute("CREATE TEMPORARY TABLE guarded (x int)")
        cursor.execute(f"CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        cursor.execute(
            "CREATE TRIGGER t BEFORE TRUNCATE ON guarded FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.refuse()"
        )
    refused = pytest.raises(IntegrityError, match="TRUNCATE on guarded refused")
    with refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE guarded")


def test_a_transition_is_logged_once_with_both_states():
    services.record_transition(
        Transition(
            machine="node",
            subject_ref="nod_a",
            tenant_id=4,
            source="available",
            target="deploying",
            event="deploy",
            actor=system_actor(name="worker"),
            at=AT,
            details={"reservation": "res_a"},
        )
    )
    event = AuditEvent.objects.get()
    assert (event.log_tenant_id, event.kind, event.context_ref) == (4, "node.deploy", "res_a")
    assert event.details == {"reservation": "res_a", "from": "available", "to": "deploying"}
    assert event.what == "Node: deployment began"
    assert event.who == "Platform (worker)"


def test_the_log_registers_itself_as_the_recorder():
    assert fire.__globals__["_recorder"] is services.record_transition


def test_a_kind_without_a_sentence_is_spelled_out():
    event = record(kind="tax_rule.switch_over", details={"from": "old", "to": "new"})
    assert event.what == "Tax rule: switch over (from old to new)"


@pytest.mark.parametrize(
    "machine", [NODE, TENANT, QUOTE, RESERVATION, INVOICE, USAGE, CARD, CHARGE, JOB], ids=lambda m: m.name
)
def test_every_event_of_every_machine_has_a_sentence(machine):
    kinds = {f"{machine.name}.{event}" for event in (*machine.events.values, "created")}
    assert kinds - set(words._PHRASES) == set()
