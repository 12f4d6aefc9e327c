"""How many queries a list costs: the same for one row as for many."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.accounts import people
from tests.accounts.test_keys import fresh
from tests.api.caller import with_key
from tests.api.test_reservations import activate, pass_time, reserve

# Of each request: the key with its maker and their role, and the clock for expiry and last use.
AUTHENTICATION = 2


def count(caller, path):
    caller.get(path)  # the write of last_used_at is behind us
    with CaptureQueriesContext(
        connection,
    ) as seen:
        answer = caller.get(path)
    assert answer.status_code == 200, answer.content
    return len(seen), len(answer.json()["results"]), [query["sql"][:200] for query in seen]


@pytest.mark.parametrize(
    ("path", "queries"),
    [("/projects", 1), ("/ssh-keys", 1), ("/images", -AUTHENTICATION + 1 + AUTHENTICATION)],
)
def test_small_lists_cost_one_query(api, path, queries):
    api.post("/ssh-keys", {"public_key": fresh()})
    seen, _rows, sql = count(api, path)
    assert seen == AUTHENTICATION + queries, sql


@pytest.mark.parametrize(
    ("path", "queries"),
    [
        ("/reservations", 2),  # rows with all they show, and the clock
        ("/invoices", 1),
        ("/usage", 2),
        ("/reservations/{ref}/events", 2),
    ],
)
def test_a_list_of_many_costs_as_much_as_a_list_of_one(buyer, path, queries):
    ref = reserve(buyer, key="k-1").json()["id"]
    activate(ref)
    pass_time(60)
    buyer.post(f"/reservations/{ref}/actions", {"action": "release"}, key="a-1")
    path = path.replace("{ref}", ref)
    one, rows, sql = count(buyer, path)
    for number in range(2, 4):
        other = reserve(buyer, key=f"k-{number}").json()["id"]
        activate(other)
        pass_time(60)
        buyer.post(f"/reservations/{other}/actions", {"action": "release"}, key=f"a-{number}")
    many, more, many_sql = count(buyer, path)
    assert more >= rows >= 1
    assert many == one, many_sql
    assert one <= AUTHENTICATION + queries + 1, sql


def test_api_keys_come_with_their_makers(tenant):
    caller = with_key(tenant[2])
    one, *_rest = count(caller, "/api-keys")
    for _number in range(3):
        with_key(people.make_member(tenant[0], "admin")[1])
    many, rows, sql = count(caller, "/api-keys")
    assert (many, rows) == (one, 4), sql
