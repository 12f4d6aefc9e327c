"""Every error is a whole problem document and says nothing of the inside."""

import json

import pytest
from django.db import OperationalError

from accounts.models import SshKey
from api import docs
from common.errors import DomainError
from tests.api.caller import problem


def test_fields_that_are_wrong_are_listed_with_their_path(portal):
    body = problem(portal.post("/api-keys", {"scopes": ["read", "everything"]}), 400, "invalid-request")
    assert {(item["field"], item["code"]) for item in body["errors"]} == {
        ("name", "required"),
        ("scopes.1", "invalid_choice"),
    }


def test_what_a_room_refuses_keeps_its_code_hint_and_field(buyer):
    body = problem(buyer.post("/quotes", {"node_count": 1}), 400, "invalid-request")
    assert body["hint"] == "GET /api/v1/catalogue lists the node types"
    assert body["errors"][0]["field"] == "node_type"


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid-request"),
        (b"\xff\xfe", "application/json", 400, "invalid-request"),
        (b"[" * 100_000, "application/json", 400, "invalid-request"),
        (b"NaN", "application/json", 400, "invalid-request"),
        (b"[1]", "application/json", 400, "invalid-request"),
        (b'"x"', "application/json", 400, "invalid-request"),
        (b"", "application/json", 400, "invalid-request"),
        (b"name=x", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
        (b"<a/>", "application/xml", 415, "unsupported-media-type"),
        (b'{"name": "' + b"x" * 600_000 + b'"}', "application/json", 413, "body-too-large"),
        (json.dumps({"name": "a\x00b", "public_key": "k"}).encode(), "application/json", 400, "invalid-request"),
        (b'{"name": "x", "public_key": {"a": 1}}', "application/json", 400, "invalid-request"),
    ],
)
def test_bodies_that_cannot_be_read_are_refused(api, content, content_type, status, code):
    answer = api.client.generic(
        "POST",
        "/api/v1/ssh-keys",
        content,
        content_type=content_type,
        headers={"Authorization": f"Bearer {api.secret}"},
    )
    problem(answer, status, code)
    assert not SshKey.objects.exists()


def test_methods_and_addresses_that_are_not_there(api):
    problem(api.call("PUT", "/ssh-keys", {}), 405, "method-not-allowed")
    problem(api.call("OPTIONS", "/ssh-keys"), 405, "method-not-allowed")
    problem(api.call("GET", "/quotes"), 405, "method-not-allowed")
    problem(api.get("/nothing/here"), 404, "not-found")
    problem(api.post("/nothing/here", {}), 404, "not-found")


def test_answers_are_json_only(api):
    problem(api.get("/account", Accept="text/html"), 406, "not-acceptable")


def test_the_unexpected_is_a_500_that_tells_nothing(api, monkeypatch):
    def broken(**_kwargs):
        raise RuntimeError("password of the database: hunter2")

    monkeypatch.setattr("accounts.selectors.projects", broken)
    answer = api.get("/projects")
    body = problem(answer, 500, "internal-error")
    assert "hunter2" not in json.dumps(body)
    assert "RuntimeError" not in json.dumps(body)


def test_a_database_that_does_not_answer_is_a_503_to_be_tried_again(api, monkeypatch):
    def gone(**_kwargs):
        raise OperationalError("couldn't get a connection after 30.00 sec")

    monkeypatch.setattr("accounts.selectors.projects", gone)
    answer = api.get("/projects")
    assert problem(answer, 503, "unavailable")["retry"] is True
    assert answer["Retry-After"] == "5"


def test_every_foreseen_error_has_an_entry_on_the_page_of_codes(client, db):
    page = client.get("/api/v1/problems").content.decode()
    waiting, seen = [DomainError], {}
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind is not DomainError and not kind.__module__.startswith("tests"):
            assert f'id="{kind.code}"' in page
            assert kind.__doc__, f"{kind.__name__} does not say what it means"
            seen.setdefault(kind.code, set()).add(kind.status)
    assert {code: statuses for code, statuses in seen.items() if len(statuses) > 1} == {}
    assert len(docs.codes()) >= len(seen)
