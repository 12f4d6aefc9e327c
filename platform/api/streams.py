"""The live stream of one reservation: server-sent events for portal and programs.

PostgreSQL tells what is so; Redis only says that it is worth looking. With Redis gone the stream looks every two
seconds. Each message carries the whole picture and an id made of its content, so a reader that comes back with
``Last-Event-ID`` is sent only what it has not seen; a picture that is final is answered with 204, upon which an
EventSource stops asking.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import structlog
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.translation import gettext as _
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from accounts import permissions
from accounts.errors import NotAMember
from accounts.roles import Permission
from api.authentication import actor_of_key
from api.errors import problem_response
from api.progress import digest, snapshot
from common.actors import Actor, ActorKind
from common.errors import DomainError, NotFound
from provisioning.progress import channel
from reservations import selectors

log = structlog.get_logger(__name__)
LASTS_S = 600.0
POLL_S = 2.0
HEARTBEAT_S = 15.0
SETTLE_S = 0.1
MOST_PER_TENANT = 40
REDIS_TIMEOUT_S = 1.0
_open: Counter[int] = Counter()


class NotAuthenticated(DomainError):
    """No valid API key or session was given."""

    code = "not-authenticated"
    status = 401


class MethodNotAllowed(DomainError):
    """The address does not know this method."""

    code = "method-not-allowed"
    status = 405


class TooManyStreams(DomainError):
    """The tenant has as many streams open as it may."""

    code = "too-many-streams"
    status = 429
    retryable = True
    hint = "close some, or poll GET progress"


async def reservation_events(request: HttpRequest, ref: str) -> HttpResponseBase:
    """``GET /api/v1/reservations/{id}/events/stream``, by session or API key; read only, so no CSRF token is asked."""
    try:
        if request.method not in {"GET", "HEAD"}:
            raise MethodNotAllowed(_("A stream is read with GET."))
        actor = await sync_to_async(_actor)(request)
        if _open[actor.tenant_id or 0] >= MOST_PER_TENANT:
            raise TooManyStreams(_("Your tenant has %(most)d streams open.") % {"most": MOST_PER_TENANT})
        picture = await sync_to_async(_look)(actor, ref)
    except DomainError as error:
        extra = {401: {"WWW-Authenticate": 'Bearer realm="chapek"'}, 429: {"Retry-After": "10"}}
        return problem_response(request, error, **extra.get(error.status, {}))
    seen = request.headers.get("Last-Event-ID", "")
    if picture["is_final"] and seen == digest(picture):
        return HttpResponse(status=204)
    return StreamingHttpResponse(
        messages(actor=actor, ref=ref, seen=seen),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _actor(request: HttpRequest) -> Actor:
    """Raises NotAuthenticated, NotAMember, Forbidden."""
    actor: Actor | None = getattr(request, "actor", None)
    scheme, _gap, token = request.headers.get("Authorization", "").partition(" ")
    if scheme:
        request_id = str(request.META.get("chapek.request_id", ""))
        found = actor_of_key(token=token.strip(), request_id=request_id) if scheme.lower() == "bearer" else None
        if found is None:
            raise NotAuthenticated(_("This API key is not valid."))
        actor = found[1]
    if actor is None:
        raise NotAuthenticated(_("Sign in, or send an API key."))
    if actor.tenant_id is None or actor.kind not in {ActorKind.USER, ActorKind.API_KEY}:
        raise NotAMember(_("You act for no organisation yet."))
    permissions.require(actor, Permission.VIEW)
    return actor


def _look(actor: Actor, ref: str) -> dict[str, Any]:
    """The picture now; the connection goes back to the pool, so that a stream holds none. Raises NotFound.

    Asked anew each time: a key that was revoked or a member who was removed meanwhile sees nothing more.
    """
    try:
        if not permissions.still_acts(actor=actor):
            raise NotFound(_("You act for this organisation no more."))
        return snapshot(reservation=selectors.reservation(actor=actor, ref=ref))
    finally:
        if not connection.in_atomic_block:
            connection.close()


async def messages(*, actor: Actor, ref: str, seen: str = "") -> AsyncIterator[bytes]:
    """The stream's bytes until the reservation is final, ten minutes are over, or the reader has gone."""
    loop = asyncio.get_running_loop()
    ends_at_s = loop.time() + LASTS_S
    silent_since_s = loop.time()
    tenant_id = actor.tenant_id or 0
    _open[tenant_id] += 1
    waker = Waker(channel(ref))
    try:
        await waker.connect()
        yield b"retry: 2000\n\n"
        while True:
            try:
                picture = await sync_to_async(_look)(actor, ref)
            except NotFound:
                return
            mark = digest(picture)
            if mark != seen:
                yield _message(picture, mark=mark)
                seen, silent_since_s = mark, loop.time()
            elif loop.time() - silent_since_s >= HEARTBEAT_S:
                yield b": alive\n\n"
                silent_since_s = loop.time()
            if picture["is_final"] or loop.time() >= ends_at_s:
                return
            await waker.wait()
    finally:
        _open[tenant_id] -= 1
        await waker.close()


def _message(picture: dict[str, Any], *, mark: str) -> bytes:
    return f"id: {mark}\nevent: progress\ndata: {json.dumps(picture)}\n\n".encode()


class Waker:
    """Sleeps until somebody publishes on the channel, two seconds at most."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._redis: Redis | None = None
        self._pubsub: PubSub | None = None

    async def connect(self) -> None:
        """Never raises: without Redis the stream polls."""
        try:
            self._redis = Redis.from_url(settings.CHAPEK_REDIS_URL, socket_connect_timeout=REDIS_TIMEOUT_S)
            self._pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
            await self._pubsub.subscribe(self._name)
        except (RedisError, OSError) as error:
            log.info("stream polls: Redis does not answer", error=type(error).__name__)
            await self.close()

    async def wait(self) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + POLL_S
        while self._pubsub is not None and (left_s := until_s - loop.time()) > 0:
            try:
                message = await self._pubsub.get_message(timeout=left_s)
                if message is not None:
                    # A change seldom comes alone: let its neighbours arrive, then look once.
                    await asyncio.sleep(SETTLE_S)
                    while await self._pubsub.get_message(timeout=0) is not None:
                        pass
                    return
            except (RedisError, OSError) as error:
                log.info("stream polls: Redis is gone", error=type(error).__name__)
                await self.close()
        await asyncio.sleep(max(until_s - loop.time(), 0))

    async def close(self) -> None:
        pubsub, redis, self._pubsub, self._redis = self._pubsub, self._redis, None, None
        try:
            if pubsub is not None:
                await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis leaves it untyped
            if redis is not None:
                await redis.aclose()
        except (RedisError, OSError):
            log.debug("a stream's connection was gone already")
