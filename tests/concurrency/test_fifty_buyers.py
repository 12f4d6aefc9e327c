"""Fifty parallel buyers of one node, through the API: one winner, 49 clean refusals, no error, no deadlock (I1)."""

import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from embedded.client import Client, wait_for
from embedded.stack import Stack

pytestmark = pytest.mark.processes
BUYERS = 50
TENANTS = 5

CORDON_ALL_BUT_ONE = """
from inventory.models import Node
last = Node.objects.order_by("-pk").first()
Node.objects.exclude(pk=last.pk).update(is_cordoned=True)
"""
UNCORDON = "from inventory.models import Node; Node.objects.update(is_cordoned=False)"
COUNT_DOUBLE_PROMISES = """
from django.db import connection
cursor = connection.cursor()
cursor.execute('''SELECT count(*) FROM reservations_allocation a JOIN reservations_allocation b
    ON a.node_id = b.node_id AND a.id < b.id AND a.period && b.period WHERE a.is_live AND b.is_live''')
print(cursor.fetchone()[0])
"""


@pytest.fixture
def one_node(stack: Stack, clean_nodes: int) -> Iterator[None]:
    stack.manage("shell", "-v", "0", "-c", CORDON_ALL_BUT_ONE)
    yield
    stack.manage("shell", "-v", "0", "-c", UNCORDON)


@pytest.mark.usefixtures("one_node")
def test_fifty_parallel_buyers_of_one_node_make_one_winner(stack: Stack, buyers: list[Client]) -> None:
    keys = [buyer.call("GET", "/ssh-keys")["results"][0]["id"] for buyer in buyers]
    offers = []
    for number in range(BUYERS):
        buyer = buyers[number % TENANTS]
        offers.append(buyer.call("POST", "/quotes", json={"node_type": "h200-8", "node_count": 1})["id"])
    gate = Barrier(BUYERS)

    def buy(number: int) -> tuple[int, dict[str, object]]:
        body = {
            "quote": offers[number],
            "name": f"buyer-{number}",
            "image": "debian-12",
            "ssh_keys": [keys[number % TENANTS]],
        }
        gate.wait(timeout=30)
        answer = buyers[number % TENANTS].raw("POST", "/reservations", key=uuid.uuid4().hex, json=body)
        return answer.status_code, answer.json()

    with ThreadPoolExecutor(max_workers=BUYERS) as pool:
        answers = list(pool.map(buy, range(BUYERS)))

    assert Counter(status for status, _ in answers) == {201: 1, 409: BUYERS - 1}, answers
    assert {body["code"] for status, body in answers if status == 409} <= {"out-of-stock", "no-capacity"}
    count = stack.manage("shell", "-v", "0", "-c", COUNT_DOUBLE_PROMISES).stdout.strip()
    assert count == "0"
    log = stack.log("postgres").read_text(errors="replace")
    assert "deadlock detected" not in log
    winner = next(body for status, body in answers if status == 201)
    number = int(str(winner["name"]).removeprefix("buyer-"))
    owner = buyers[number % TENANTS]
    owner.call("POST", f"/reservations/{winner['id']}/actions", key=uuid.uuid4().hex, json={"action": "release"})
    wait_for(
        lambda: True if owner.call("GET", f"/reservations/{winner['id']}")["state"] == "ended" else None,
        timeout_s=90,
        what="the winner's node to be clean again",
    )
