"""A worker killed with -9 in mid-deploy and a flushed Redis cost seconds and nothing else."""

import json
import uuid
from pathlib import Path

import pytest
import redis

from embedded.client import Client, wait_for
from embedded.stack import Stack

pytestmark = pytest.mark.processes
AT_ONCE = 4
RESUMED_WITHIN_S = 60


def reserve(client: Client, *, name: str) -> str:
    key = client.call("GET", "/ssh-keys")["results"][0]["id"]
    quote = client.call("POST", "/quotes", json={"node_type": "h200-8", "node_count": 1})
    body = {"quote": quote["id"], "name": name, "image": "debian-12", "ssh_keys": [key]}
    return str(client.call("POST", "/reservations", key=uuid.uuid4().hex, json=body)["id"])


def state_of(client: Client, ref: str) -> str:
    return str(client.call("GET", f"/reservations/{ref}")["state"])


def finished_steps(client: Client, ref: str) -> int:
    jobs = client.call("GET", f"/reservations/{ref}/progress")["jobs"]
    return sum(step["state"] == "done" for job in jobs for step in job["steps"])


@pytest.mark.usefixtures("clean_nodes")
@pytest.mark.parametrize("after_steps", [1, 4])
def test_a_killed_worker_and_a_flushed_redis_lose_nothing(stack: Stack, buyers: list[Client], after_steps: int) -> None:
    client = buyers[0]
    refs = [reserve(client, name=f"survivor-{after_steps}-{number}") for number in range(AT_ONCE)]
    wait_for(
        lambda: True if any(finished_steps(client, ref) >= after_steps for ref in refs) else None,
        timeout_s=60,
        what=f"{after_steps} steps",
        every_s=0.02,
    )
    stack.kill("worker")
    redis.Redis.from_url(stack.environment["CHAPEK_REDIS_URL"]).flushall()
    wait_for(
        lambda: True if all(state_of(client, ref) == "active" for ref in refs) else None,
        timeout_s=RESUMED_WITHIN_S,
        what="every deployment to be finished by the next worker",
    )
    for ref in refs:
        node = client.call("GET", f"/reservations/{ref}")["nodes"][0]["name"]
        assert image_writes(stack, node=node, reservation=ref) == 1
        client.call("POST", f"/reservations/{ref}/actions", key=uuid.uuid4().hex, json={"action": "release"})
    wait_for(
        lambda: True if all(state_of(client, ref) == "ended" for ref in refs) else None,
        timeout_s=90,
        what="the nodes to be clean again",
    )
    for ref in refs:
        events = client.call("GET", f"/reservations/{ref}/events", params={"limit": 200})["results"]
        kinds = [event["kind"] for event in events]
        assert kinds.count("reservation.activate") == kinds.count("reservation.cleaned") == 1


def power_commands(stack: Stack, *, node: str) -> list[str]:
    """What the BMC of the node was told about power, from the emulator's own protocol log."""
    found = []
    for path in Path(stack.state_dir).rglob(f"{node}.bmc.jsonl"):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if "Reset" in str(entry) or "chassis control" in str(entry).lower():
                found.append(str(entry))
    return found
