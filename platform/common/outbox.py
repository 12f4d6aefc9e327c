"""The outbox: events are rows first, so a lost message or a killed worker loses no news.

``publish`` writes in the caller's transaction and wakes a dispatcher after commit. ``dispatch_pending`` handles each
event in a transaction of its own, with the handlers inside a savepoint: a failing handler delays its aggregate with
growing pauses and holds up nobody else.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.db import connection, transaction
from django.utils import timezone

from common.models import OutboxEvent

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 2
LONGEST_PAUSE_S = 300

_handlers: dict[str, list["Handler"]] = defaultdict(list)


def _nobody() -> None:
    """Until a wake is registered, beat alone rouses the dispatcher."""


_wake: Callable[[], None] = _nobody


@dataclass(frozen=True, kw_only=True)
class Event:
    """What a handler gets: ids and plain values, and when it happened (use this, not the clock)."""

    id: int
    kind: str
    aggregate: str
    payload: dict[str, Any]
    occurred_at: datetime


Handler = Callable[[Event], None]


def subscribe(*, kind: str, handler: Handler) -> None:
    """Called by ``config.wiring`` only, so that who listens to what is on one screen."""
    if handler not in _handlers[kind]:
        _handlers[kind].append(handler)


def register_wake(wake: Callable[[], None]) -> None:
    """How to rouse a dispatcher quickly after commit; losing the call costs seconds, never an event."""
    global _wake  # noqa: PLW0603 - one process-wide port, filled at start
    _wake = wake


def publish(*, kind: str, aggregate: str, payload: dict[str, Any], occurred_at: datetime) -> None:
    """Write one event in the present transaction. ``payload`` holds JSON values only."""
    OutboxEvent.objects.create(kind=kind, aggregate=aggregate, payload=payload, occurred_at=occurred_at)
    transaction.on_commit(_wake, robust=True)


# One due event whose aggregate has no earlier one waiting; other dispatchers skip what this one holds.
_CLAIM = """
SELECT e.id FROM common_outboxevent e
WHERE e.dispatched_at IS NULL AND e.next_attempt_at <= clock_timestamp()
  AND NOT EXISTS (
    SELECT 1 FROM common_outboxevent earlier
    WHERE earlier.dispatched_at IS NULL AND earlier.aggregate = e.aggregate AND earlier.id < e.id)
ORDER BY e.id LIMIT 1 FOR UPDATE OF e SKIP LOCKED
"""


def dispatch_pending(*, limit: int = 500) -> int:
    """Handle due events until none is left or ``limit`` is reached. Returns how many were handled or put off."""
    done = 0
    while done < limit and _dispatch_one():
        done += 1
    return done


def _dispatch_one() -> bool:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_CLAIM)
            row = cursor.fetchone()
        if row is None:
            return False
        stored = OutboxEvent.objects.get(pk=row[0])
        event = Event(
            id=stored.pk,
            kind=stored.kind,
            aggregate=stored.aggregate,
            payload=stored.payload,
            occurred_at=stored.occurred_at.astimezone(UTC),
        )
        try:
            with transaction.atomic():
                for handler in _handlers[event.kind]:
                    handler(event)
        except Exception as error:
            stored.attempts += 1
            pause_s = min(FIRST_PAUSE_S * 2 ** (stored.attempts - 1), LONGEST_PAUSE_S)
            stored.next_attempt_at = timezone.now() + timedelta(seconds=pause_s)
            stored.last_error = f"{type(error).__name__}: {error}"[:2000]
            stored.save(update_fields=["attempts", "next_attempt_at", "last_error"])
            log.exception("outbox handler failed", kind=event.kind, aggregate=event.aggregate, attempts=stored.attempts)
        else:
            stored.dispatched_at = timezone.now()
            stored.save(update_fields=["dispatched_at"])
    return True
