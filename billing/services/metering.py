"""The meter: one interval per node, opened and closed in the transaction of the change of state that caused it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from billing.errors import MeteringOverlap
from billing.models import AccountKind, LedgerTransaction, PriceSnapshot, UsageInterval
from billing.rating import rated
from billing.services import ledger
from billing.states import USAGE, UsageEvent
from common.actors import Actor
from common.errors import InvalidRequest
from common.state_machine import born, fire


@dataclass(frozen=True, kw_only=True)
class UsageSubject:
    """A node as the meter sees it: plain values, so that a later change of names changes no bill."""

    node_id: int
    node_ref: str
    node_type_code: str
    gpu_count: int
    pool_code: str
    site_code: str
    project_ref: str = ""


@transaction.atomic
def start_metering(
    *,
    tenant_id: int,
    reservation_ref: str,
    snapshot: PriceSnapshot,
    nodes: Sequence[UsageSubject],
    from_at: datetime,
    actor: Actor,
) -> list[UsageInterval]:
    """Open one interval per node at ``from_at``, the whole second of the change of state.

    A node that this reservation is metered for already is left as it is. Raises MeteringOverlap when another's time
    on the node reaches past ``from_at``.
    """
    _require_whole_second(from_at)
    running = set(_open_rows(reservation_ref).values_list("node_id", flat=True))
    opened = []
    for node in nodes:
        if node.node_id in running:
            continue
        interval = UsageInterval(
            tenant_id=tenant_id,
            reservation_ref=reservation_ref,
            project_ref=node.project_ref,
            node_id=node.node_id,
            node_ref=node.node_ref,
            node_type_code=node.node_type_code,
            site_code=node.site_code,
            pool_code=node.pool_code,
            gpu_count=node.gpu_count,
            snapshot=snapshot,
            rate=snapshot.rate,
            currency=snapshot.currency,
            from_at=from_at,
        )
        opened.append(_insert(interval, actor=actor))
    return opened


@transaction.atomic
def stop_metering(
    *, reservation_ref: str, until_at: datetime, actor: Actor, node_ids: Sequence[int] | None = None
) -> list[UsageInterval]:
    """Close the reservation's open intervals at ``until_at``, rate them and post them as accrued.

    ``node_ids`` limits it to some of its nodes. What is closed already stays; returns what was closed now. A clock
    that stepped back behind a start closes that interval at its start: zero seconds, and no error in a release.
    """
    _require_whole_second(until_at)
    rows = _open_rows(reservation_ref).select_for_update(of=("self",), no_key=True).order_by("pk")
    if node_ids is not None:
        rows = rows.filter(node_id__in=node_ids)
    return [_close(row, until_at=max(until_at, row.from_at), actor=actor) for row in rows]


@transaction.atomic
def cut_metering(*, tenant_id: int, at: datetime, actor: Actor, reservation_ref: str = "") -> int:
    """Close what runs at ``at`` and go on in the same second, so that a running reservation can be invoiced.

    Returns how many intervals were cut.
    """
    _require_whole_second(at)
    rows = UsageInterval.objects.filter(tenant_id=tenant_id, until_at=None, from_at__lt=at)
    if reservation_ref:
        rows = rows.filter(reservation_ref=reservation_ref)
    cut = 0
    for row in rows.select_for_update(of=("self",), no_key=True).order_by("pk"):
        closed = _close(row, until_at=at, actor=actor)
        following = UsageInterval(
            **{
                name: getattr(closed, name)
                for name in (
                    "tenant_id", "reservation_ref", "project_ref", "node_id", "node_ref", "node_type_code", "site_code",
                    "pool_code", "gpu_count", "snapshot_id", "rate", "currency",
                )
            },
            from_at=at,
        )  # fmt: skip
        _insert(following, actor=actor)
        cut += 1
    return cut


def _require_whole_second(at: datetime) -> None:
    if at.tzinfo is None or at.microsecond:
        raise InvalidRequest("metered instants are aware and whole seconds, as chapek_now() gives them")


def _open_rows(reservation_ref: str) -> QuerySet[UsageInterval]:
    return UsageInterval.objects.filter(reservation_ref=reservation_ref, until_at=None)


def _insert(interval: UsageInterval, *, actor: Actor) -> UsageInterval:
    try:
        with transaction.atomic():
            interval.save(force_insert=True)
    except IntegrityError as error:
        if "one_usage_of_a_node_at_a_time" not in str(error):
            raise
        raise MeteringOverlap(
            f"node {interval.node_ref} is metered already at {interval.from_at.isoformat()}", node=interval.node_ref
        ) from error
    born(
        machine=USAGE,
        subject=interval,
        actor=actor,
        details={
            "reservation": interval.reservation_ref,
            "node": interval.node_ref,
            "from_at": interval.from_at.isoformat(),
            "gpus": interval.gpu_count,
            "rate": f"{interval.rate} {interval.currency}",
        },
    )
    return interval


def _close(row: UsageInterval, *, until_at: datetime, actor: Actor) -> UsageInterval:
    seconds = int((until_at - row.from_at).total_seconds())
    row.until_at = until_at
    row.net_amount = rated(seconds=seconds, gpu_count=row.gpu_count, rate=row.rate)
    row.settled_by = _accrue(row, actor=actor)
    row.save(update_fields=["until_at", "net_amount", "settled_by"])
    fire(
        machine=USAGE,
        subject=row,
        event=UsageEvent.CLOSE,
        actor=actor,
        details={
            "reservation": row.reservation_ref,
            "node": row.node_ref,
            "from_at": row.from_at.isoformat(),
            "until_at": until_at.isoformat(),
            "seconds": seconds,
            "net": f"{row.net_amount} {row.currency}",
        },
    )
    return row


def _accrue(row: UsageInterval, *, actor: Actor) -> LedgerTransaction | None:
    """Earned by the pool, owed by the tenant, not invoiced: net, because tax is due with the invoice."""
    assert row.net_amount is not None and row.until_at is not None  # noqa: S101, PT018 - set by the one caller
    owed = ledger.account(kind=AccountKind.ACCRUED, currency=row.currency, tenant_id=row.tenant_id)
    earned = ledger.account(kind=AccountKind.REVENUE, currency=row.currency, pool_code=row.pool_code)
    return ledger.post(
        key=f"usage:{row.ref}",
        kind="usage_accrued",
        tenant_id=row.tenant_id,
        subject_ref=row.ref,
        reservation_ref=row.reservation_ref,
        postings=[(owed, row.net_amount), (earned, -row.net_amount)],
        actor=actor,
        occurred_at=row.until_at,
    )
