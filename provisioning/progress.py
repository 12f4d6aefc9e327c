"""Waking live pages: one Redis message per change, after commit. Losing it costs them two seconds of polling."""

from functools import lru_cache

import structlog
from django.conf import settings
from django.db import transaction
from redis import Redis
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)


@lru_cache(maxsize=1)
def _client(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5)


def channel(reservation_ref: str) -> str:
    return f"chapek:reservation:{reservation_ref}"


def notify(reservation_ref: str) -> None:
    """Tell whoever watches the reservation, once the present transaction is committed. Never raises."""
    if reservation_ref:
        transaction.on_commit(lambda: _send(reservation_ref), robust=True)


def _send(reservation_ref: str) -> None:
    try:
        _client(settings.CHAPEK_REDIS_URL).publish(channel(reservation_ref), "changed")
    except RedisError as error:
        log.info("progress not announced", error=type(error).__name__)
