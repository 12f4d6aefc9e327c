"""Reads: stock, candidates for placement, a reservation's actions and page."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing import selectors as prices
from common.actors import Actor
from common.errors import NotFound
from common.periods import Period
from inventory.models import Node, NodeType, Site, Stock
from inventory.states import SELLABLE, NodeState
from placement.model import Candidate, FreeNode
from reservations.models import Allocation, Quote, Reservation
from reservations.states import LIVE, ReservationState

# A node that is promised to someone within this time does not count as free now.
STOCK_HORIZON = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class StockLine:
    """One node type at one site: nodes that could start now, and how many there are in all."""

    site_code: str
    site_name: str
    city: str
    country: str
    node_type_code: str
    node_type_name: str
    gpu_model: str
    gpu_count: int
    gpu_memory_gib: int
    free_now: int
    total: int
    eur_per_gpu_hour: Decimal | None
    effective_at: datetime


def _promised(period: Period) -> Exists:
    return Exists(Allocation.objects.filter(node=OuterRef("pk"), is_live=True, period__overlap=period.as_range()))


def stock(*, at: datetime) -> list[StockLine]:
    """What is free at ``at`` by site and node type, with today's price; two queries."""
    soon = Period(start_at=at, end_at=at + STOCK_HORIZON)
    free = Q(state=NodeState.AVAILABLE, is_cordoned=False) & ~Q(_promised(soon))
    rows = (
        Node.objects.filter(site__is_open=True, node_type__is_offered=True)
        .exclude(state=NodeState.RETIRED)
        .values(
            "site_id", "site__code", "site__name", "site__city", "site__country", "node_type_id", "node_type__code",
            "node_type__name", "node_type__gpu_model__code", "node_type__gpu_count",
            "node_type__gpu_model__memory_gib",
        )
        .annotate(total=Count("id"), free_now=Count("id", filter=free))
        .order_by("site__code", "node_type__code")
    )  # fmt: skip
    rates = {(row.site_id, row.node_type_id): row.eur_per_gpu_hour for row in prices.price_list(at=at)}
    return [
        StockLine(
            site_code=row["site__code"],
            site_name=row["site__name"],
            city=row["site__city"],
            country=row["site__country"],
            node_type_code=row["node_type__code"],
            node_type_name=row["node_type__name"],
            gpu_model=row["node_type__gpu_model__code"],
            gpu_count=row["node_type__gpu_count"],
            gpu_memory_gib=row["node_type__gpu_model__memory_gib"],
            free_now=row["free_now"],
            total=row["total"],
            eur_per_gpu_hour=rates.get((row["site_id"], row["node_type_id"])),
            effective_at=at,
        )
        for row in rows
    ]


def candidates(
    *, period: Period, starts_now: bool, at: datetime, site: Site | None = None, node_type: NodeType | None = None
) -> list[Candidate]:
    """Every (site, type) with its nodes that are free over the whole period. At most six queries, whatever the size."""
    usable = Q(state=NodeState.AVAILABLE) if starts_now else Q(state__in=SELLABLE)
    nodes = (
        Node.objects.filter(usable, ~_promised(period), is_cordoned=False, site__is_open=True)
        .filter(node_type__is_offered=True)
        .order_by("pk")
    )
    if site is not None:
        nodes = nodes.filter(site=site)
    if node_type is not None:
        nodes = nodes.filter(node_type=node_type)
    free: dict[tuple[int, int], list[FreeNode]] = defaultdict(list)
    # Plain values: a model instance per free node of the fleet would cost more than all the rest of a quote.
    facts = nodes.values_list("site_id", "node_type_id", "pk", "ref", "fabric__code", "rack__code")
    for site_id, type_id, pk, ref, fabric, rack in facts:
        free[site_id, type_id].append(FreeNode(id=pk, ref=ref, fabric=fabric, rack=rack))
    drawn = dict(
        Allocation.objects.filter(is_live=True, period__overlap=period.as_range())
        .values_list("node__site_id")
        .annotate(draw_w=Sum("node__node_type__max_draw_w"))
    )
    offers = prices.price_list(at=at)
    if site is not None and node_type is not None:
        pairs, sites, types = [(site.pk, node_type.pk)], {site.pk: site}, {node_type.pk: node_type}
    else:
        pairs = list(Stock.objects.values_list("site_id", "node_type_id"))
        sites = {row.pk: row for row in Site.objects.filter(is_open=True)}
        types = {row.pk: row for row in NodeType.objects.filter(is_offered=True).select_related("gpu_model")}
    rates = {(offer.site_id, offer.node_type_id): offer.eur_per_gpu_hour for offer in offers}
    found = []
    for site_id, type_id in sorted(pairs):
        if site_id not in sites or type_id not in types:
            continue
        if (site is not None and site_id != site.pk) or (node_type is not None and type_id != node_type.pk):
            continue
        where, kind = sites[site_id], types[type_id]
        found.append(
            Candidate(
                site=where.code,
                country=where.country,
                node_type=kind.code,
                gpu_count=kind.gpu_count,
                gpu_memory_gib=kind.gpu_memory_gib,
                eur_per_gpu_hour=rates.get((site_id, type_id)),
                nodes=tuple(free[site_id, type_id]),
                site_free_w=where.power_envelope_kw * 1000 - (drawn.get(site_id) or 0),
                node_draw_w=kind.max_draw_w,
            )
        )
    return found


def live_node_count(*, tenant_id: int) -> int:
    """Nodes promised to the tenant now or later; what its limit is measured against."""
    return Allocation.objects.filter(tenant_id=tenant_id, is_live=True, reservation__state__in=LIVE).count()


def reservations_of(*, actor: Actor) -> QuerySet[Reservation]:
    """The tenant's own, newest first, with what lists show already joined."""
    return (
        Reservation.objects.visible_to(actor)
        .select_related("site", "node_type__gpu_model", "image", "project", "price_snapshot")
        .order_by("-pk")
    )


def reservation(*, actor: Actor, ref: str) -> Reservation:
    """Raises NotFound for another tenant's just as for one that does not exist."""
    found = reservations_of(actor=actor).filter(ref=ref).first()
    if found is None:
        raise NotFound("there is no reservation of that id", ref=ref)
    return found


def quote(*, actor: Actor, ref: str) -> Quote:
    found = (
        Quote.objects.visible_to(actor)
        .select_related("site", "node_type__gpu_model", "project", "price_snapshot")
        .filter(ref=ref)
        .first()
    )
    if found is None:
        raise NotFound("there is no quote of that id", ref=ref)
    return found


def allocations_of(*, reservations: Iterable[Reservation]) -> dict[int, list[Allocation]]:
    """By reservation's primary key, nodes and their BMC-free facts joined; one query."""
    rows = Allocation.objects.filter(reservation__in=list(reservations)).select_related("node__site", "node__rack")
    grouped: dict[int, list[Allocation]] = defaultdict(list)
    for row in rows.order_by("node__name"):
        grouped[row.reservation_id].append(row)
    return grouped


@dataclass(frozen=True, kw_only=True)
class Action:
    """Something that can be done to a reservation, or why it cannot now. Portal, API and CLI read the same list."""

    name: str
    label: str
    available: bool
    reason: str = ""


_S = ReservationState
_ACTIONS: tuple[tuple[str, object, frozenset[str]], ...] = (
    ("cancel", gettext_lazy("Cancel"), frozenset({_S.PENDING_APPROVAL, _S.SCHEDULED})),
    ("release", gettext_lazy("Release"), frozenset({_S.DEPLOYING, _S.ACTIVE, _S.SUSPENDED})),
    ("extend", gettext_lazy("Change the end"), frozenset({_S.SCHEDULED, _S.DEPLOYING, _S.ACTIVE})),
    ("power_on", gettext_lazy("Power on"), frozenset({_S.ACTIVE})),
    ("power_off", gettext_lazy("Power off"), frozenset({_S.ACTIVE})),
    ("power_cycle", gettext_lazy("Power cycle"), frozenset({_S.ACTIVE})),
    ("reboot", gettext_lazy("Reboot"), frozenset({_S.ACTIVE})),
)


def actions(*, reservation: Reservation) -> list[Action]:
    """Every action with whether it is possible in the present state, and the reason when it is not."""
    state = ReservationState(reservation.state)
    return [
        Action(
            name=name,
            label=str(label),
            available=state in states,
            reason="" if state in states else _("not possible while the reservation is %(state)s") % {"state": state},
        )
        for name, label, states in _ACTIONS
    ]
