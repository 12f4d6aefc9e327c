"""Alive, ready, and who may read the counters."""

import pytest
from django.db import DatabaseError

from observability import health


def test_alive_asks_nobody(client, django_assert_num_queries, db):
    with django_assert_num_queries(0):
        assert client.get("/healthz").status_code == 200


def test_ready_when_the_database_is_there_and_migrated(client, db):
    body = client.get("/readyz").json()
    assert [body[name] for name in ("state", "database", "migrations", "broker")] == ["ready", "ok", "ok", "ok"]


def test_missing_migrations_are_not_ready(client, db, monkeypatch):
    class Behind:
        def __init__(self, _connection) -> None:
            self.loader = self
            self.graph = self

        def leaf_nodes(self):
            return []

        def migration_plan(self, _targets):
            return ["one"]

    monkeypatch.setattr(health, "_migrated", False)
    monkeypatch.setattr(health, "MigrationExecutor", Behind)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["migrations"]) == (503, "missing")


def test_a_lost_redis_degrades_and_a_lost_database_is_not_ready(client, db, settings, monkeypatch):
    settings.CHAPEK_REDIS_URL = "redis://127.0.0.1:1/0"
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["state"], answer.json()["broker"]) == (200, "degraded", "unreachable")

    class Lost:
        def cursor(self):
            raise DatabaseError("gone")

    monkeypatch.setattr(health, "connection", Lost())
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["state"]) == (503, "unready")


@pytest.mark.parametrize(
    ("address", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("192.0.2.1", {}, 403),
        ("", {}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.1"}, 403),
        ("192.0.2.1", {"X-Forwarded-For": "127.0.0.1"}, 403),
        ("192.0.2.1", {"Authorization": "Bearer right"}, 200),
        ("192.0.2.1", {"Authorization": "Bearer wrong"}, 403),
        ("192.0.2.1", {"Authorization": "Bearer "}, 403),
    ],
)
def test_metrics_are_for_this_machine_or_a_token(client, db, settings, address, headers, status):
    settings.CHAPEK_METRICS_TOKEN = "right"
    answer = client.get("/metrics", headers=headers, REMOTE_ADDR=address)
    assert answer.status_code == status
    assert (b"python_info" in answer.content) is (status == 200)


def test_without_a_token_set_no_token_opens(client, db, settings):
    settings.CHAPEK_METRICS_TOKEN = ""
    assert client.get("/metrics", headers={"Authorization": "Bearer "}, REMOTE_ADDR="192.0.2.1").status_code == 403
