"""Rate limits per key and per tenant, told in headers. Redis lost: everything passes, and the log says so."""

import math
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

from api.permissions import actor_of

if TYPE_CHECKING:  # Django REST framework imports this module while its views are being made
    from rest_framework.views import APIView

log = structlog.get_logger(__name__)
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# One runaway key must not use up what the tenant's other keys need.
TENANT_SHARE = 3
REDIS_TIMEOUT_S = 0.5
BLIND_S = 2.0
_blind_until_s: dict[str, float] = {}
_PERIODS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """``limit`` requests per window; ``reset_s`` until the next one begins."""

    limit: int
    used: int
    reset_s: int

    @property
    def remaining(self) -> int:
        return max(self.limit - self.used, 0)

    @property
    def is_spent(self) -> bool:
        return self.used > self.limit

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
        }


def parse_rate(text: str) -> tuple[int, int]:
    """``"600/min"`` -> (600, 60)."""
    count, _slash, period = text.partition("/")
    return int(count), _PERIODS_S[period[:1]]


@lru_cache(maxsize=2)
def _redis(url: str) -> "Redis":
    return Redis.from_url(url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S)


def spend(*, names_and_limits: list[tuple[str, int]], period_s: int, now_s: float) -> list[Budget] | None:
    """Count one request in each bucket, in one round trip. None when Redis does not answer.

    After a failure nobody asks for two seconds: a Redis that swallows packets must not slow every request down.
    """
    if now_s < _blind_until_s.get(settings.CHAPEK_REDIS_URL, 0.0):
        return None
    window = int(now_s // period_s)
    reset_s = max(1, math.ceil((window + 1) * period_s - now_s))
    try:
        with _redis(settings.CHAPEK_REDIS_URL).pipeline(transaction=False) as pipe:
            for name, _limit in names_and_limits:
                key = f"chapek:rate:{name}:{period_s}:{window}"
                pipe.incr(key)
                pipe.expire(key, period_s * 2)
            counts = pipe.execute()[::2]
    except RedisError as error:
        _blind_until_s[settings.CHAPEK_REDIS_URL] = now_s + BLIND_S
        log.warning("rate limits are off: Redis does not answer", error=type(error).__name__)
        return None
    return [
        Budget(limit=limit, used=int(used), reset_s=reset_s)
        for (_name, limit), used in zip(names_and_limits, counts, strict=True)
    ]


class TenantRateThrottle(BaseThrottle):
    """Two buckets per request: the key's (or person's) own, and the tenant's, three times as large.

    Visitors are counted by address. Reading and writing are counted apart. The tighter budget is put on the request
    as ``chapek_budget`` for the answer's headers.
    """

    def __init__(self) -> None:
        self.budget: Budget | None = None

    def allow_request(self, request: Request, view: "APIView") -> bool:  # noqa: ARG002 - the signature of the base
        kind = "read" if request.method in SAFE else "write"
        rates: dict[str, Any] = api_settings.DEFAULT_THROTTLE_RATES
        limit, period_s = parse_rate(str(rates[kind]))
        actor = actor_of(request)
        if actor is None or actor.tenant_id is None:
            # The peer's address only: a header that anybody can write must not choose the bucket.
            buckets = [(f"{kind}:address:{request.META.get('REMOTE_ADDR', '')}", limit)]
        else:
            buckets = [
                (f"{kind}:actor:{actor.ref}", limit),
                (f"{kind}:tenant:{actor.tenant_id}", limit * TENANT_SHARE),
            ]
        budgets = spend(names_and_limits=buckets, period_s=period_s, now_s=time.time())
        if budgets is None:
            return True
        self.budget = min(budgets, key=lambda budget: (budget.remaining, -budget.used))
        request._request.chapek_budget = self.budget  # type: ignore[attr-defined]  # noqa: SLF001 - for the headers
        return not any(budget.is_spent for budget in budgets)

    def wait(self) -> float | None:
        return float(self.budget.reset_s) if self.budget else None
