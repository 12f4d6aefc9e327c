"""Is the process alive, can it work, and what does it count: for load balancers, orchestrators and Prometheus."""

import hmac
import ipaddress
import os

import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from redis import Redis
from redis.exceptions import RedisError

from observability.metrics import RoomsCollector

log = structlog.get_logger(__name__)
REDIS_TIMEOUT_S = 1.0
_FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP")


@require_safe
def alive(_request: HttpRequest) -> HttpResponse:
    """200 while the process answers at all; asks nobody else, so that a lost database does not restart the web."""
    return HttpResponse("ok\n", content_type="text/plain", headers={"Cache-Control": "no-store"})


@require_safe
def ready(_request: HttpRequest) -> JsonResponse:
    """200 when requests can be served: database there and migrated. A lost broker only slows things: "degraded"."""
    database, migrations = _database()
    broker = _broker()
    ok = database == migrations == "ok"
    state = "ready" if ok and broker == "ok" else "degraded" if ok else "unready"
    body = {
        "state": state,
        "database": database,
        "migrations": migrations,
        "broker": broker,
        "version": settings.CHAPEK_VERSION,
    }
    return JsonResponse(body, status=200 if ok else 503, headers={"Cache-Control": "no-store"})


_migrated = False


def _database() -> tuple[str, str]:
    """How the database and its migrations stand."""
    global _migrated  # noqa: PLW0603 - once migrated is migrated: the plan is asked for only until then
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if not _migrated:
            executor = MigrationExecutor(connection)
            _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        log.warning("not ready: the database does not answer", error=type(error).__name__)
        return "unreachable", "unknown"
    return "ok", "ok" if _migrated else "missing"


def _broker() -> str:
    """Redis carries the broker, the cache, the rate limits and live pages, all at one address."""
    client = Redis.from_url(
        settings.CHAPEK_REDIS_URL, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
    )
    try:
        client.ping()
    except RedisError:
        return "unreachable"
    finally:
        client.close()
    return "ok"


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format, for the machine itself or whoever bears CHAPEK_METRICS_TOKEN."""
    if not (_is_local(request) or _has_token(request)):
        return HttpResponseForbidden("metrics are for this machine, or for a bearer of CHAPEK_METRICS_TOKEN\n")
    text = generate_latest(_own_registry()) + generate_latest(_ROOMS)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


_ROOMS = CollectorRegistry()
_ROOMS.register(RoomsCollector())


def _own_registry() -> CollectorRegistry:
    """Counters of all processes that share PROMETHEUS_MULTIPROC_DIR when it is set, else this process' own."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def _is_local(request: HttpRequest) -> bool:
    """The peer is this machine and speaks for itself: behind a proxy everybody's peer is the proxy."""
    if any(name in request.META for name in _FORWARDED):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def _has_token(request: HttpRequest) -> bool:
    wanted = settings.CHAPEK_METRICS_TOKEN
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return bool(wanted) and hmac.compare_digest(wanted.encode(), given.encode())
