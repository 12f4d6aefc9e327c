"""Deliveries: signed as Stripe signs them, repeated until accepted; on demand doubled, held back or out of order."""

import asyncio
import hashlib
import hmac
import json
from dataclasses import dataclass, field

import aiohttp

from lab.stripe.store import Store, Thing

RETRY_S = (0.2, 1.0, 5.0, 30.0, 120.0)
TIMEOUT_S = 10.0


def encode(event: Thing) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def sign(body: bytes, *, secret: str, at: int) -> str:
    """The `Stripe-Signature` header."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


@dataclass
class Deliveries:
    """Sends events to one endpoint. With `held`, events wait for `flush`, which may turn their order round.

    `copies` sends each event that many times; `delivered` lists (event id, HTTP status) as they went.
    """

    store: Store
    secret: str
    url: str = ""
    copies: int = 1
    held: bool = False
    waiting: list[Thing] = field(default_factory=list)
    delivered: list[tuple[str, int]] = field(default_factory=list)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    def take(self, event: Thing) -> None:
        """A new event: send it, or keep it. Called on the event loop."""
        if not self.url:
            return
        event["pending_webhooks"] = 1
        if self.held:
            self.waiting.append(event)
        else:
            self._start(event)

    async def flush(self, *, turned_round: bool = False) -> int:
        """Send what was held back, one after the other, the last first if so asked. Returns how many events."""
        events, self.waiting = self.waiting, []
        for event in reversed(events) if turned_round else events:
            for _copy in range(self.copies):
                await self._deliver(event)
        return len(events)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, event: Thing) -> None:
        for _copy in range(self.copies):
            task = asyncio.get_running_loop().create_task(self._deliver(event))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, event: Thing) -> None:
        body = encode(event)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as session:
            for pause_s in (*RETRY_S, None):
                status = await self._post(session, body)
                self.delivered.append((event["id"], status))
                if 200 <= status < 300:
                    event["pending_webhooks"] = 0
                    return
                if pause_s is not None:
                    await asyncio.sleep(pause_s)

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> int:
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(body, secret=self.secret, at=self.store.now()),
        }
        try:
            async with session.post(self.url, data=body, headers=headers, allow_redirects=False) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0
