"""What a Celery worker counts: its turns by task and outcome, served on an address of its own when one is set."""

import time
from functools import cache
from typing import Any

import structlog
from celery.signals import task_postrun, task_prerun, worker_ready
from django.conf import settings
from prometheus_client import Counter, Gauge, Histogram, start_http_server

log = structlog.get_logger(__name__)
_BUCKETS_S = (0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 120.0)

_started: dict[str, float] = {}


class _Figures:
    """Made with the first turn, so that a web process, which takes none, shows none."""

    def __init__(self) -> None:
        self.turns = Histogram(
            "chapek_worker_turn_seconds", "Turns of a worker, by task", ("task",), buckets=_BUCKETS_S
        )
        self.outcomes = Counter("chapek_worker_turns", "Turns of a worker, by task and outcome", ("task", "outcome"))
        self.running = Gauge("chapek_worker_running", "Turns under way", multiprocess_mode="livesum")


@cache
def _figures() -> _Figures:
    return _Figures()


def watch() -> None:
    """Count from now on; once the worker is ready, serve the figures at CHAPEK_WORKER_METRICS, if that is set.

    The counters are this process' own, and all of a worker's turns run in it: the pool is one of threads.
    """
    task_prerun.connect(_begin, weak=False, dispatch_uid="observability.begin")
    task_postrun.connect(_end, weak=False, dispatch_uid="observability.end")
    worker_ready.connect(_serve, weak=False, dispatch_uid="observability.serve")


def _serve(**_kwargs: Any) -> None:
    _figures()  # before the threads of the pool could make two
    address = settings.CHAPEK_WORKER_METRICS
    if not address:
        return
    host, _colon, port = address.rpartition(":")
    try:
        start_http_server(int(port), addr=host or "127.0.0.1")
    except (OSError, ValueError) as error:
        # A worker that cannot be watched works all the same.
        log.warning("metrics are not served", address=address, error=str(error))


def _begin(task_id: str, **_kwargs: Any) -> None:
    _started[task_id] = time.monotonic()
    _figures().running.inc()


def _end(task_id: str, task: Any, state: str | None = None, **_kwargs: Any) -> None:
    started = _started.pop(task_id, None)
    if started is None:
        return
    figures = _figures()
    figures.running.dec()
    figures.turns.labels(task.name).observe(time.monotonic() - started)
    figures.outcomes.labels(task.name, (state or "unknown").lower()).inc()
