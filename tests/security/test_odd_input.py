"""Whatever is sent, the answer is a refusal with a reason: never a 500, which fills logs and hides real faults."""

import json

import pytest

from tests.api import caller
from tests.reservations import world

ODD = ["\x00", "a" * 5000, "'\"<>&%", "\ud800".encode("utf-16", "surrogatepass").decode("latin-1"), "-1", "٣", "NaN"]
LISTS = ["/reservations", "/usage", "/invoices", "/ssh-keys", "/api-keys", "/projects"]
PARAMETERS = ["cursor", "limit", "state", "reservation", "from_at", "until_at"]


@pytest.mark.django_db
@pytest.mark.parametrize("parameter", PARAMETERS)
def test_no_query_of_the_api_breaks_it(buyer, parameter):
    instants = ["0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59", "2026-13-01T00:00:00Z"]
    for path in LISTS:
        for value in [*(caller_quote(text) for text in ODD), *instants]:
            answer = buyer.get(f"{path}?{parameter}={value}")
            assert answer.status_code in {200, 400}, (path, parameter, value, answer.content)


def caller_quote(text: str) -> str:
    from urllib.parse import quote

    return quote(text)


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/billing/", "/reservations/", "/home/", "/keys/", "/reserve/"])
def test_no_query_of_a_page_breaks_it(buyer, path):
    client = caller.with_session(buyer.user).client
    for parameter in ("before", "state", "node_type", "site", "when", "action"):
        for text in ODD:
            answer = client.get(f"{path}?{parameter}={caller_quote(text)}")
            assert answer.status_code in {200, 302, 400}, (path, parameter, text)


def bodies():
    deep: object = []
    for _ in range(400):
        deep = [deep]
    yield from [
        None,
        True,
        0,
        -1,
        1e308,
        10**400,
        "",
        "\x00",
        "a" * 100_000,
        [],
        {},
        deep,
        [[1]] * 1000,
        {"a": deep},
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/quotes", ["node_type", "node_count", "site", "starts_at", "ends_at", "max_spend", "project", "workload"]),
        ("/reservations", ["quote", "name", "image", "ssh_keys", "user_data"]),
        ("/ssh-keys", ["name", "public_key"]),
        ("/reservations/{ref}/actions", ["action", "node", "ends_at"]),
    ],
)
def test_no_body_breaks_the_api(buyer, settings, path, fields):
    settings.CHAPEK_OPEN_QUOTES = 10_000
    made = world.buy(buyer.actor, buyer.ssh_key)
    honest = {
        "node_type": "h200-8", "quote": "quo_none", "name": "x", "image": "debian-12",
        "ssh_keys": [buyer.ssh_key.ref], "action": "extend", "ends_at": None,
    }  # fmt: skip
    for number, field in enumerate(fields):
        for case, value in enumerate(bodies()):
            body = {name: honest[name] for name in fields if name in honest} | {field: value}
            answer = buyer.post(path.format(ref=made.ref), body, key=f"{number}-{case}")
            assert answer.status_code < 500, (field, str(value)[:60], answer.content)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"1" * 100_000, b'"', b"NaN", b'{"a": 1e99999}', b"[]", b"null",
     b'{"node_type": "\\ud800"}', b'{"node_count": ' + b"9" * 10_000 + b"}"],
)  # fmt: skip
def test_no_json_breaks_the_api(buyer, content):
    answer = buyer.client.post(
        "/api/v1/quotes",
        content,
        content_type="application/json",
        headers={"Authorization": f"Bearer {buyer.secret}", "Idempotency-Key": "k"},
    )
    assert 400 <= answer.status_code < 500
    assert json.loads(answer.content)["code"]


@pytest.mark.django_db
def test_absurd_money_and_times_are_refused(buyer):
    for fields in (
        {"max_spend": "-1"}, {"max_spend": "0"}, {"max_spend": "1e30"}, {"max_spend": "NaN"}, {"max_spend": "Infinity"},
        {"node_count": 0}, {"node_count": -5}, {"node_count": 10_001}, {"node_count": 2.5},
        {"ends_at": "2020-01-01T00:00:00Z"}, {"starts_at": "9999-12-31T00:00:00Z"},
        {"starts_at": "2020-01-01T00:00:00Z"}, {"ends_at": "9999-12-31T23:59:59-23:59"},
    ):  # fmt: skip
        answer = buyer.post("/quotes", {"node_type": "h200-8", **fields})
        assert answer.status_code == 400, (fields, answer.content)
