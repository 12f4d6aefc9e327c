"""Figures of the kernel for Prometheus."""

from django.db import connection

from observability.metrics import Gauge

# Both look at what is pending alone, which has an index of its own.
_OUTBOX = """
SELECT count(*), count(*) FILTER (WHERE attempts > 0),
       coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)
FROM common_outboxevent WHERE dispatched_at IS NULL
"""


def gauges() -> list[Gauge]:
    """The outbox: how much news waits, how much of it a handler refused, how old the oldest is."""
    with connection.cursor() as cursor:
        cursor.execute(_OUTBOX)
        pending, failing, oldest_s = cursor.fetchone()
    return [
        Gauge(name="chapek_outbox_pending", help="Events not delivered yet", values={(): pending}),
        Gauge(name="chapek_outbox_failing", help="Of these, refused by a handler at least once", values={(): failing}),
        Gauge(
            name="chapek_outbox_oldest_age_seconds",
            help="Age of the oldest event not delivered",
            values={(): max(0.0, float(oldest_s))},
        ),
    ]
