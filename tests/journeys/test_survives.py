"""A worker killed with -9 in mid-deploy and a flushed Redis cost seconds and nothing else."""

import json
import uuid
from datetime import datetime, timedelta

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
def test_killed_workers_and_a_flushed_redis_cost_seconds_and_no_second_power_action(
    stack: Stack, buyers: list[Client]
) -> None:
    """Four deployments undisturbed say what the BMCs are told; then the same with kills at two different moments."""
    client = buyers[0]
    undisturbed = power_sequences(stack, client, run(stack, client, name="undisturbed", kill_after_steps=None))
    for after_steps in (1, 5):
        refs = run(stack, client, name=f"killed-{after_steps}", kill_after_steps=after_steps)
        for node, sequence in power_sequences(stack, client, refs).items():
            assert sequence in undisturbed.values(), f"{node} was told {sequence}"


def run(stack: Stack, client: Client, *, name: str, kill_after_steps: int | None) -> list[str]:
    """Deploy and release some nodes at once; returns the reservations, all ended."""
    refs = [reserve(client, name=f"{name}-{number}") for number in range(AT_ONCE)]
    if kill_after_steps is not None:
        wait_for(
            lambda: True if any(finished_steps(client, ref) >= kill_after_steps for ref in refs) else None,
            timeout_s=60,
            what=f"{kill_after_steps} steps",
            every_s=0.02,
        )
        stack.kill("worker")
        redis.Redis.from_url(stack.environment["CHAPEK_REDIS_URL"]).flushall()
    wait_for(
        lambda: True if all(state_of(client, ref) == "active" for ref in refs) else None,
        timeout_s=RESUMED_WITHIN_S,
        what="every deployment to be active",
    )
    for ref in refs:
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
    return refs


def power_sequences(stack: Stack, client: Client, refs: list[str]) -> dict[str, list[str]]:
    """By node: what its BMC was told about power during the reservation, from the emulator's own protocol log."""
    found = {}
    for ref in refs:
        reservation = client.call("GET", f"/reservations/{ref}")
        [node] = {job["node_name"] for job in client.call("GET", f"/reservations/{ref}/progress")["jobs"]}
        from_at, until_at = (datetime.fromisoformat(reservation[name]) for name in ("created_at", "ended_at"))
        told = []
        for path in stack.state_dir.rglob(f"{node}.bmc.jsonl"):
            for line in path.read_text().splitlines():
                entry = json.loads(line)
                within = from_at <= datetime.fromisoformat(entry["at"]) <= until_at + timedelta(seconds=1)
                if within and (action := entry.get("reset_type") or entry.get("action")):
                    told.append(action)
        assert told, f"the protocol log of {node} says nothing about power"
        found[node] = told
    return found
