"""Figures of the audit log for Prometheus."""

from django.db import connection

from observability.metrics import Gauge

_UNSEALED = """
SELECT count(*), coalesce(extract(epoch FROM chapek_now() - min(occurred_at)), 0) FROM audit_auditevent
WHERE index IS NULL
"""


def gauges() -> list[Gauge]:
    """Events that have no place in their log yet, and how long the oldest has waited."""
    with connection.cursor() as cursor:
        cursor.execute(_UNSEALED)
        count, oldest_s = cursor.fetchone()
    return [
        Gauge(name="chapek_audit_unsealed", help="Audit events not sealed yet", values={(): count}),
        Gauge(
            name="chapek_audit_unsealed_age_seconds",
            help="Age of the oldest audit event not sealed",
            values={(): max(0.0, float(oldest_s))},
        ),
    ]
