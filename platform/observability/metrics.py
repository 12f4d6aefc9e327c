"""What the product counts, for Prometheus: requests by this process, and the fleet's figures by SQL at scrape time.

This room lies at the bottom and knows no other: rooms hand in collectors (``register``, called by ``config.wiring``).
A collector answers with gauges from one or two bounded queries; it runs in a transaction with a time limit of its own,
and one that fails costs its own figures only and says so in ``chapek_collector_up``.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import structlog
from django.db import connection, transaction
from django.http import HttpRequest
from prometheus_client import Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

log = structlog.get_logger(__name__)
STATEMENT_LIMIT_MS = 2000
_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_requests = Histogram(
    "chapek_request_seconds",
    "Time until the response was ready to send, by route (as in the source), method and status; streams: until begun",
    ("route", "method", "status"),
    buckets=_BUCKETS_S,
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """One figure with its labels: ``values[("kladno", "active")] = 3`` for ``labels=("site", "state")``."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    values: Mapping[tuple[str, ...], float] = field(default_factory=dict)


Source = Callable[[], Iterable[Gauge]]
_sources: dict[str, Source] = {}


def register(*, name: str, source: Source) -> None:
    """A room's figures, under the name that ``chapek_collector_up`` shows; the last one of a name counts."""
    _sources[name] = source


class RoomsCollector(Collector):
    """Asks every source anew at each scrape, so any process answers for the whole installation."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up = GaugeMetricFamily("chapek_collector_up", "1 when a room's figures could be read", labels=("collector",))
        took = GaugeMetricFamily(
            "chapek_collector_seconds", "How long reading a room's figures took", labels=("collector",)
        )
        for name, source in _sources.items():
            started = time.monotonic()
            gauges = _read(name, source)
            took.add_metric((name,), time.monotonic() - started)
            up.add_metric((name,), 0.0 if gauges is None else 1.0)
            for gauge in gauges or ():
                family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
                for labels, value in gauge.values.items():
                    family.add_metric(labels, value)
                yield family
        yield up
        yield took


def _read(name: str, source: Source) -> list[Gauge] | None:
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_LIMIT_MS:d}")
            return list(source())
    except Exception:
        log.exception("figures could not be read", collector=name)
        return None


def observe(request: HttpRequest, *, status: int, seconds: float) -> None:
    """One request, by its route's pattern: never by its path, which would make a series of every id."""
    match = request.resolver_match
    route = f"/{match.route}" if match is not None else "unmatched"
    method = request.method if request.method in _METHODS else "other"
    _requests.labels(route, method, str(status)).observe(seconds)
