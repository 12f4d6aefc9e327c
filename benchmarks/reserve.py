"""Forty reservations at once on the emulated rack with zero boot time, through the API and every real process.

The time is from the quote's request to the first moment the API says ``active``, as the tenant sees it. The emulated
hardware boots in no time, but the scripts that the platform runs on it share these cores and are not subtracted: the
platform's own overhead is below what is printed.
"""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from benchmarks.figures import Figure, percentile
from embedded.client import Client, wait_for
from embedded.stack import Stack

COUNT = 40
SETTLE_S = 300


def reservations_at_once(count: int = COUNT) -> Iterator[Figure]:
    """Yields: how many became active, platform overhead p50 and p95 (s), and the time until all were active."""
    with tempfile.TemporaryDirectory(prefix="chapek-bench-") as folder:
        stack = Stack(
            state_dir=Path(folder) / "state",
            fast=False,
            node_count=count,
            instant=True,
            extra={"CHAPEK_RATE_WRITE": "100000/min", "CHAPEK_RATE_READ": "100000/min"},
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

    def reserve(number: int) -> tuple[str, float]:
        asked_s = time.monotonic()
        quote = client.call("POST", "/quotes", json={"node_type": offer["node_type"], "node_count": 1})
        made = client.call(
            "POST",
            "/reservations",
            key=f"bench-{number}",
            json={"quote": quote["id"], "name": f"bench-{number}", "image": "debian-12", "ssh_keys": [key]},
        )
        return made["id"], asked_s

    began_s = time.monotonic()
    with ThreadPoolExecutor(max_workers=count) as pool:
        asked_s = dict(pool.map(reserve, range(count)))
    settled: dict[str, tuple[str, float]] = {}

    def look() -> bool | None:
        seen_s = time.monotonic()
        for row in client.call("GET", "/reservations", params={"limit": count})["results"]:
            if row["state"] not in {"scheduled", "deploying"}:
                settled.setdefault(row["id"], (row["state"], seen_s))
        return True if set(asked_s) <= set(settled) else None

    wait_for(look, timeout_s=SETTLE_S, what="every reservation to settle", every_s=0.1)
    took_s = [seen_s - asked_s[ref] for ref, (state, seen_s) in settled.items() if state == "active" and ref in asked_s]
    yield Figure(
        name="reserve: active of those asked at once",
        value=len(took_s),
        unit="reservations",
        target=count,
        better="higher",
    )
    if took_s:
        yield Figure(name="reserve: request to active, p50", value=percentile(took_s, 0.5), unit="s")
        yield Figure(name="reserve: request to active, p95", value=percentile(took_s, 0.95), unit="s", target=5)
        yield Figure(
            name="reserve: all active after", value=max(seen for _, seen in settled.values()) - began_s, unit="s"
        )


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
