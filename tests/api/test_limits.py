"""Pages and rates."""

import pytest
from redis.exceptions import ConnectionError as RedisGone
from rest_framework.settings import api_settings

from accounts.models import SshKey
from api import throttling
from api.pagination import encode_cursor
from tests.accounts import people
from tests.api.caller import problem, with_key


def make_keys(owner, count):
    for number in range(count):
        SshKey.objects.create(
            tenant_id=owner.tenant_id, name=f"k{number}", public_key="k", algorithm="ssh-ed25519", bits=256,
            fingerprint=f"SHA256:{number}",
        )  # fmt: skip


def test_pages_hold_every_row_once_newest_first_even_while_rows_are_added(api, owner):
    make_keys(owner, 7)
    expected = list(SshKey.objects.order_by("-ref").values_list("ref", flat=True))
    found, cursor = [], ""
    while cursor is not None:
        page = api.get(f"/ssh-keys?limit=3&cursor={cursor}").json()
        found += [row["id"] for row in page["results"]]
        cursor = page["next_cursor"]
        SshKey.objects.create(
            tenant_id=owner.tenant_id, name=f"late{len(found)}", public_key="k", algorithm="ssh-ed25519", bits=256,
            fingerprint=f"SHA256:late{len(found)}",
        )  # fmt: skip
    assert found == expected


def test_a_page_that_is_just_full_is_the_last(api, owner):
    make_keys(owner, 3)
    page = api.get("/ssh-keys?limit=3").json()
    assert (len(page["results"]), page["next_cursor"]) == (3, None)


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1e3", "٣", "9" * 50])
def test_a_limit_out_of_range_is_refused(api, limit):
    problem(api.get(f"/ssh-keys?limit={limit}"), 400, "invalid-request")


@pytest.mark.parametrize("cursor", ["x", "AAAA", "é", encode_cursor("' OR 1=1 --"), encode_cursor("k" * 61), "MTo"])
def test_a_cursor_that_was_not_given_out_is_refused(api, cursor):
    problem(api.get(f"/ssh-keys?cursor={cursor}"), 400, "bad-cursor")


def test_a_cursor_of_another_tenant_shows_ones_own_rows_only(api, owner):
    make_keys(owner, 2)
    other = people.make_tenant()[2]
    make_keys(other, 2)
    stranger = with_key(other).get("/ssh-keys?limit=1").json()["next_cursor"]
    mine = set(SshKey.objects.visible_to(owner).values_list("ref", flat=True))
    assert {row["id"] for row in api.get(f"/ssh-keys?cursor={stranger}").json()["results"]} <= mine


@pytest.fixture
def rates(monkeypatch):
    def limit(read, write):
        monkeypatch.setattr(api_settings, "DEFAULT_THROTTLE_RATES", {"read": f"{read}/h", "write": f"{write}/h"})

    return limit


def test_the_budget_is_told_and_when_it_is_spent_the_answer_says_when_to_come_back(api, rates):
    rates(2, 100)
    first = api.get("/projects")
    assert (first["RateLimit-Limit"], first["RateLimit-Remaining"]) == ("2", "1")
    assert 1 <= int(first["RateLimit-Reset"]) <= 3600
    api.get("/projects")
    answer = api.get("/projects")
    body = problem(answer, 429, "rate-limited")
    assert body["retry"] is True
    assert answer["Retry-After"] == answer["RateLimit-Reset"] == str(body["retry_after_s"])
    assert answer["RateLimit-Remaining"] == "0"
    assert api.post("/quotes", {}).status_code == 400, "writing has a budget of its own"


def test_refused_requests_count_too(owner, rates):
    reader = with_key(owner, "read")
    rates(100, 2)
    for _twice in range(2):
        problem(reader.post("/ssh-keys", {}), 403, "forbidden")
    problem(reader.post("/ssh-keys", {}), 429, "rate-limited")


def test_more_keys_give_a_tenant_three_times_a_keys_budget_and_no_more(owner, rates):
    callers = [with_key(owner) for _number in range(4)]
    rates(2, 100)
    statuses = [caller.get("/projects").status_code for caller in callers for _twice in range(2)]
    assert statuses == [200] * 6 + [429] * 2
    assert with_key(people.make_tenant()[2]).get("/projects").status_code == 200


def test_visitors_are_counted_by_their_address_and_cannot_choose_it(visitor, rates, monkeypatch):
    rates(1, 1)
    monkeypatch.setattr(throttling, "time", type("Clock", (), {"time": staticmethod(lambda: 1_000_000.0)}))
    throttling._redis.cache_clear()
    from django.conf import settings

    throttling._redis(settings.CHAPEK_REDIS_URL).delete("chapek:rate:read:address:127.0.0.1:3600:277")
    assert visitor.get("/catalogue").status_code == 200
    assert visitor.get("/catalogue", **{"X-Forwarded-For": "192.0.2.7"}).status_code == 429


def test_without_redis_everything_passes_and_no_budget_is_told(api, rates, settings):
    rates(1, 1)
    settings.CHAPEK_REDIS_URL = "redis://127.0.0.1:1/0"
    for _time in range(3):
        answer = api.get("/projects")
        assert answer.status_code == 200
        assert "RateLimit-Limit" not in answer


def test_a_redis_that_dies_in_the_middle_lets_pass_and_is_left_alone_for_two_seconds(monkeypatch):
    asked = []

    class Dying:
        def pipeline(self, **_kwargs):
            asked.append(1)
            raise RedisGone("gone")

    monkeypatch.setattr(throttling, "_redis", lambda _url: Dying())
    monkeypatch.setattr(throttling, "_blind_until_s", {})
    for now_s in (100.0, 101.9, 102.1):
        assert throttling.spend(names_and_limits=[("x", 1)], period_s=60, now_s=now_s) is None
    assert len(asked) == 2


@pytest.mark.parametrize(("text", "parsed"), [("600/min", (600, 60)), ("1/s", (1, 1)), ("5/hour", (5, 3600))])
def test_rates_are_written_as_in_the_settings(text, parsed):
    assert throttling.parse_rate(text) == parsed
