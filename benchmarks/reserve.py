"""Forty reservations at once on the emulated rack with zero boot time, through the API and every real process.

A reservation's time runs from the request for its quote to the instant at which it has become active: when the news of
its deployed node was handled, by the outbox's own row, read when all is over: asking for forty reservations again and
again would take part of the processor that is measured. The platform's overhead is that time less what the emulated
node itself spent running the scripts it was sent, by the emulator's own journal; boot time is zero. Node and platform
share the same cores.
"""

import json
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from benchmarks.figures import Figure, percentile
from embedded.client import Client, wait_for
from embedded.stack import Stack

COUNT = 40
SETTLE_S = 300
POLL_S = 0.5


def reservations_at_once(count: int = COUNT) -> Iterator[Figure]:
    """Yields: how many became active, platform overhead p50 and p95 (s), and the time until all were active."""
    with tempfile.TemporaryDirectory(prefix="chapek-bench-") as folder:
        stack = Stack(
            state_dir=Path(folder) / "state",
            fast=False,
            node_count=count,
            instant=True,
            extra={"CHAPEK_RATE_WRITE": "100000/min", "CHAPEK_RATE_READ": "100000/min", "CHAPEK_OPEN_QUOTES": "1000"},
        )
        try:
            stack.start()
            yield from _measure(stack, count)
        finally:
            stack.remove()


def _measure(stack: Stack, count: int) -> Iterator[Figure]:
    client = tenant(stack)
    wait_for(
        lambda: True if free_nodes(client) >= count else None,
        timeout_s=SETTLE_S,
        what=f"{count} clean nodes",
        every_s=1,
    )
    key = client.call("GET", "/ssh-keys")["results"][0]["id"]
    offer = client.call("GET", "/catalogue")["stock"][0]

    def reserve(number: int) -> tuple[str, datetime]:
        asked_at = datetime.now(tz=UTC)
        quote = client.call("POST", "/quotes", json={"node_type": offer["node_type"], "node_count": 1})
        made = client.call(
            "POST",
            "/reservations",
            key=f"bench-{number}",
            json={"quote": quote["id"], "name": f"bench-{number}", "image": "debian-12", "ssh_keys": [key]},
        )
        return made["id"], asked_at

    with ThreadPoolExecutor(max_workers=count) as pool:
        asked = dict(pool.map(reserve, range(count)))

    def look() -> bool | None:
        unsettled = {"state": ["scheduled", "deploying"], "limit": 1}
        return None if client.call("GET", "/reservations", params=unsettled)["results"] else True

    wait_for(look, timeout_s=SETTLE_S, what="every reservation to settle", every_s=POLL_S)
    became = active_at(stack)
    active, totals_s, overheads_s = 0, [], []
    for ref, asked_at in asked.items():
        shown = client.call("GET", f"/reservations/{ref}")
        if shown["state"] == "active":
            active += 1
            total_s = (became[ref] - asked_at).total_seconds()
            own_s = hardware_s(stack, node=shown["nodes"][0]["name"], from_at=asked_at, until_at=became[ref])
            totals_s.append(total_s)
            overheads_s.append(total_s - own_s)
    name = f"reserve: {count} at once"
    yield Figure(name=f"{name}, active", value=active, unit="reservations", target=count, better="higher")
    if active:
        yield Figure(name=f"{name}, platform overhead, p50", value=percentile(overheads_s, 0.5), unit="s")
        yield Figure(name=f"{name}, platform overhead, p95", value=percentile(overheads_s, 0.95), unit="s", target=5)
        yield Figure(name=f"{name}, request to active, p50", value=percentile(totals_s, 0.5), unit="s")
        yield Figure(name=f"{name}, request to active, p95", value=percentile(totals_s, 0.95), unit="s")


def active_at(stack: Stack) -> dict[str, datetime]:
    """By reservation: when the news that made it active was handled."""
    with psycopg.connect(stack.environment["CHAPEK_DATABASE_URL"]) as connection:
        rows = connection.execute(
            "SELECT payload ->> 'reservation_ref', max(dispatched_at) FROM common_outboxevent "
            "WHERE kind = 'node.deployed' AND dispatched_at IS NOT NULL GROUP BY 1"
        )
        return dict(rows.fetchall())


def hardware_s(stack: Stack, *, node: str, from_at: datetime, until_at: datetime) -> float:
    """Seconds in which the node ran commands, by the emulator's own journal."""
    spent_s = 0.0
    for path in stack.state_dir.rglob(f"{node}.bmc.jsonl"):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if "seconds" in entry and from_at <= datetime.fromisoformat(entry["at"]) <= until_at:
                spent_s += float(entry["seconds"])
    return spent_s


def tenant(stack: Stack) -> Client:
    """The demonstration tenant with an API key and an SSH key."""
    client = Client(url=stack.url)
    login = stack.logins["tenant"]
    client.log_in(email=login.email, password=login.password)
    client.make_api_key(name="benchmark", scopes=["read", "write"])
    client.call("POST", "/ssh-keys", json={"name": "benchmark", "public_key": new_public_key()})
    return client


def free_nodes(client: Client) -> int:
    return sum(line["free_now"] for line in client.call("GET", "/catalogue")["stock"])


def new_public_key() -> str:
    public = Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
