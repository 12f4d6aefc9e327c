"""Figures of the fleet and the work on it for Prometheus. Four queries, none of which reads the past beyond a bound."""

from collections.abc import Sequence
from typing import Any

from django.db import connection

from observability.metrics import Gauge
from provisioning.plans import PLANS

NEWEST_JOBS = 20_000
"""Failures of the last day are looked for among this many jobs."""

# A node's age in its state is told where it should not stay: while a job has to bring it on.
_NODES = """
SELECT s.code, n.state, count(*),
       coalesce(extract(epoch FROM chapek_now() - min(n.state_changed_at)), 0),
       count(*) FILTER (WHERE j.deadline_at < clock_timestamp())
FROM inventory_node n
JOIN inventory_site s ON s.id = n.site_id
LEFT JOIN provisioning_job j
    ON j.node_id = n.id AND j.state IN ('ready', 'leased', 'waiting') AND NOT j.is_queued
GROUP BY s.code, n.state
"""
TRANSIENT = ("verifying", "inspecting", "cleaning", "deploying")
_LIVE_JOBS = """
SELECT s.code, j.kind, CASE WHEN j.is_queued THEN 'queued' ELSE j.state END, count(*),
       coalesce(max(extract(epoch FROM clock_timestamp() - j.run_at))
           FILTER (WHERE j.state IN ('ready', 'waiting') AND NOT j.is_queued), 0)
FROM provisioning_job j
JOIN inventory_node n ON n.id = j.node_id JOIN inventory_site s ON s.id = n.site_id
WHERE j.state IN ('ready', 'leased', 'waiting')
GROUP BY 1, 2, 3
"""
_FAILURES = """
SELECT coalesce(b.driver, ''), j.kind, j.position, j.failure_code, count(*)
FROM provisioning_job j LEFT JOIN inventory_bmcendpoint b ON b.node_id = j.node_id
WHERE j.id > (SELECT coalesce(max(id), 0) FROM provisioning_job) - %s
  AND j.state = 'failed' AND j.finished_at > clock_timestamp() - interval '1 day'
GROUP BY 1, 2, 3, 4
"""
_FINDINGS = """
SELECT severity, count(*) FROM provisioning_healthfinding WHERE resolved_at IS NULL GROUP BY severity
"""


def gauges() -> list[Gauge]:
    return [*_nodes(), *_jobs(), _failures(), _findings()]


def _rows(statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def _nodes() -> list[Gauge]:
    rows = _rows(_NODES)
    labels = ("site", "state")
    passing = [row for row in rows if row[1] in TRANSIENT]
    return [
        Gauge(
            name="chapek_nodes",
            help="Nodes by site and state",
            labels=labels,
            values={(site, state): float(count) for site, state, count, _age, _late in rows},
        ),
        Gauge(
            name="chapek_node_oldest_age_seconds",
            help="Longest time that a node has been in a state in which work is done on it",
            labels=labels,
            values={(site, state): max(0.0, float(age)) for site, state, _count, age, _late in passing},
        ),
        Gauge(
            name="chapek_nodes_past_deadline",
            help="Nodes whose present step is past its deadline",
            labels=labels,
            values={(site, state): float(late) for site, state, _count, _age, late in passing},
        ),
    ]


def _jobs() -> list[Gauge]:
    rows = _rows(_LIVE_JOBS)
    waits: dict[tuple[str, ...], float] = {}
    for site, _kind, _state, _count, late_s in rows:
        waits[(site,)] = max(waits.get((site,), 0.0), float(late_s))
    return [
        Gauge(
            name="chapek_jobs",
            help="Jobs not over yet, by site, kind and state; leased ones have a worker",
            labels=("site", "kind", "state"),
            values={(site, kind, state): float(count) for site, kind, state, count, _late in rows},
        ),
        Gauge(
            name="chapek_job_due_age_seconds",
            help="How long the longest waiting job has been due without a worker",
            labels=("site",),
            values=waits,
        ),
    ]


def _failures() -> Gauge:
    values: dict[tuple[str, ...], float] = {}
    for driver, kind, position, code, count in _rows(_FAILURES, [NEWEST_JOBS]):
        plan = PLANS.get(kind, ())
        step = plan[position].name if position < len(plan) else ""
        values[(driver, kind, step, code)] = float(count)
    return Gauge(
        name="chapek_job_failures_last_day",
        help="Jobs that failed in the last 24 hours, by the BMC's driver, kind, step and code",
        labels=("driver", "kind", "step", "code"),
        values=values,
    )


def _findings() -> Gauge:
    values: dict[tuple[str, ...], float] = {(severity,): float(count) for severity, count in _rows(_FINDINGS)}
    return Gauge(name="chapek_findings_open", help="Open findings about nodes", labels=("severity",), values=values)
