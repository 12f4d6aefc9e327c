"""The overview: what wants the operator's eye, and where the fleet and its reservations stand. Numbers are links."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from billing.models import Hold
from inventory.models import Node, Site
from inventory.states import NodeState
from operations import attention
from operations.admin.nodes import TONES as NODE_TONES
from operations.admin.reservations import TONES as RESERVATION_TONES
from reservations.models import Reservation
from reservations.states import LIVE, ReservationState

MOST = 1000
"""A count that wants attention is not counted further than this."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number and the list behind it. ``tone`` is danger, warning or empty; none is needed for a zero."""

    label: str
    count: int
    url: str
    tone: str = ""

    @property
    def text(self) -> str:
        return f"{MOST - 1}+" if self.count >= MOST else str(self.count)


def context(_request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Fourteen queries, however large the fleet: a dozen bounded counts, nodes and reservations grouped once."""
    sites, rows = _fleet()
    figures = _attention(rows)
    return {
        **context,
        "wanted": [figure for figure in figures if figure.count],
        "quiet": [figure for figure in figures if not figure.count],
        "fleet": _table(sites, rows),
        "reservations": _reservations(),
        "held": _held(),
    }


def _counted(rows: QuerySet[Any]) -> int:
    return rows[:MOST].count()


def _list(name: str, **query: Any) -> str:
    url = reverse(f"admin:{name}_changelist")
    return f"{url}?{urlencode(query)}" if query else url


def _attention(fleet: dict[int, dict[str, int]]) -> list[Figure]:
    jobs, node = "provisioning_job", "inventory_node"
    quarantined = sum(cells.get(NodeState.QUARANTINED, 0) for cells in fleet.values())
    found = (
        (_("Jobs failed, last day"), attention.failed_jobs(), _list(jobs, attention="failed"), "danger"),
        (_("Jobs overdue"), attention.overdue_jobs(), _list(jobs, attention="overdue"), "danger"),
        (
            _("Reservations failed, last day"),
            attention.failed_reservations(),
            _list("reservations_reservation", attention="failed"),
            "danger",
        ),
        (_("Open findings"), attention.open_findings(), _list("provisioning_healthfinding", open="yes"), "warning"),
        (_("Drafts to issue"), attention.drafts(), _list("billing_invoice", state__exact="draft"), "warning"),
        (
            _("Invoices overdue"),
            attention.overdue_invoices(),
            _list("billing_invoice", state__exact="overdue"),
            "warning",
        ),
        (
            _("Outbox events refused"),
            attention.failing_news(),
            _list("common_outboxevent", delivery="failing"),
            "danger",
        ),
        (
            _("Audit events not sealed"),
            attention.unsealed_events(),
            _list("audit_auditevent", sealing="late"),
            "danger",
        ),
    )
    figures = [Figure(label=label, count=_counted(rows), url=url, tone=tone) for label, rows, url, tone in found]
    figures.insert(
        2,
        Figure(
            label=_("Nodes quarantined"),
            count=quarantined,
            url=_list(node, state__exact=NodeState.QUARANTINED.value),
            tone="danger",
        ),
    )
    return figures


def _fleet() -> tuple[list[Site], dict[int, dict[str, int]]]:
    cells: dict[int, dict[str, int]] = defaultdict(dict)
    counted = Node.objects.order_by().values_list("site_id", "state").annotate(count=Count("pk"))
    for site_id, state, count in counted:
        cells[site_id][state] = count
    return list(Site.objects.order_by("name")), cells


def _table(sites: list[Site], cells: dict[int, dict[str, int]]) -> dict[str, Any]:
    states = [state for state in NodeState if any(state in row for row in cells.values())]
    return {
        "heads": [
            {
                "label": state.value,
                "tone": NODE_TONES.get(state, ""),
                "url": _list("inventory_node", state__exact=state),
            }
            for state in states
        ],
        "rows": [
            {
                "name": site.name,
                "url": _list("inventory_node", site__id__exact=site.pk),
                "total": sum(cells[site.pk].values()),
                "cells": [
                    {
                        "count": cells[site.pk].get(state, 0),
                        "url": _list("inventory_node", site__id__exact=site.pk, state__exact=state.value),
                    }
                    for state in states
                ],
            }
            for site in sites
        ],
    }


def _reservations() -> list[Figure]:
    """Those that go on; what is over is history."""
    states = [state for state in ReservationState if state in LIVE or state == ReservationState.ENDING]
    counted = dict(
        Reservation.objects.filter(state__in=states).order_by().values_list("state").annotate(count=Count("pk"))
    )
    return [
        Figure(
            label=state.value.replace("_", " "),
            count=counted.get(state.value, 0),
            url=_list("reservations_reservation", state__exact=state.value),
            tone=RESERVATION_TONES.get(state, "") if counted.get(state.value) else "",
        )
        for state in states
    ]


def _held() -> dict[str, Any]:
    held = Hold.objects.filter(released_at=None).aggregate(amount=Sum("amount"), count=Count("pk"))
    return {**held, "url": _list("billing_hold", released_at__isempty=1)}
