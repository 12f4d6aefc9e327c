"""A quote: what it would cost, where it would run and why, promised for some minutes."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

import placement.choose
from accounts import permissions
from accounts.models import Project, Tenant
from accounts.roles import Permission
from billing import selectors as price_book
from billing import services as billing
from common.actors import Actor
from common.clock import database_now
from common.periods import Period
from common.state_machine import born, fire
from inventory.models import NodeType, Site
from reservations import selectors
from reservations.errors import LimitReached, NoCapacity, UnknownChoice
from reservations.models import Quote
from reservations.requests import QuoteRequest
from reservations.states import QUOTE, QuoteEvent, QuoteState


def quote(*, actor: Actor, request: QuoteRequest) -> Quote:
    """Price and place a request; the price is frozen until the quote expires.

    Raises InvalidRequest, UnknownChoice, LimitReached, Forbidden, TenantSuspended, or NoCapacity with what ruled out
    each candidate in its context.
    """
    permissions.require(actor, Permission.RESERVE)
    with transaction.atomic():
        now = database_now()
        request.check(now=now)
        tenant = Tenant.objects.get(pk=permissions.tenant_id_of(actor=actor))
        check_limit(tenant=tenant, node_count=request.node_count)
        project = _project(actor=actor, ref=request.project_ref)
        _check_names(request)
        starts_at = request.starts_at or now
        decision = placement.choose.choose(
            workload=request.workload(),
            candidates=selectors.candidates(
                period=Period(start_at=starts_at, end_at=request.ends_at),
                starts_now=request.starts_at is None or request.starts_at <= now,
                at=now,
            ),
        )
        if decision.chosen is None:
            raise NoCapacity("nothing can serve this request", ruled_out=decision.as_record()["ruled_out"])
        site = Site.objects.get(code=decision.chosen.site)
        node_type = NodeType.objects.get(code=decision.chosen.node_type)
        price = price_book.price_at(site_id=site.pk, node_type_id=node_type.pk, at=now)
        estimate = billing.estimate(
            tenant=tenant,
            price=price,
            gpu_count=node_type.gpu_count,
            node_count=request.node_count,
            start_at=starts_at,
            end_at=request.ends_at,
        )
        # Only now is the tenant's row held, so that the number of open quotes is judged one after another: whoever
        # asks for many at once waits for an insert, not for somebody else's pricing.
        Tenant.objects.select_for_update(of=("self",), no_key=True).get(pk=tenant.pk)
        now = database_now()
        _check_open_quotes(tenant=tenant, now=now)
        made = Quote.objects.create(
            tenant=tenant,
            project=project,
            request=request.as_record(),
            site=site,
            node_type=node_type,
            node_count=request.node_count,
            starts_at=request.starts_at,
            ends_at=request.ends_at,
            max_spend=request.max_spend,
            price_snapshot=billing.freeze_price(tenant=tenant, price=price),
            estimate=estimate.as_record(),
            decision=decision.as_record(),
            expires_at=now + timedelta(seconds=settings.CHAPEK_QUOTE_TTL_S),
        )
        born(machine=QUOTE, subject=made, actor=actor, details={"site": site.code, "node_type": node_type.code})
        return made


def check_limit(*, tenant: Tenant, node_count: int) -> None:
    """Raises LimitReached; the tenant's own limit is told apart from stock."""
    held = selectors.live_node_count(tenant_id=tenant.pk)
    if held + node_count > tenant.max_nodes:
        raise LimitReached(
            f"your limit is {tenant.max_nodes} nodes; you hold {held} and asked for {node_count} more",
            limit=tenant.max_nodes,
            held=held,
            requested=node_count,
        )


def withdraw_quote(*, actor: Actor, quote_ref: str) -> None:
    """The tenant wants another one instead: an open quote is closed, anything else stays as it is. Raises NotFound."""
    permissions.require(actor, Permission.RESERVE, even_suspended=True)
    with transaction.atomic():
        found = selectors.quote(actor=actor, ref=quote_ref)
        row = Quote.objects.visible_to(actor).select_for_update(of=("self",), no_key=True)
        for open_one in row.filter(pk=found.pk, state=QuoteState.OPEN):
            fire(machine=QUOTE, subject=open_one, event=QuoteEvent.WITHDRAW, actor=actor)


def _check_open_quotes(*, tenant: Tenant, now: datetime) -> None:
    """Raises LimitReached: each open quote is a promise of a price, and rows and log events that somebody pays for."""
    most = settings.CHAPEK_OPEN_QUOTES
    still_open = Quote.objects.filter(tenant=tenant, state=QuoteState.OPEN, expires_at__gt=now).count()
    if still_open >= most:
        raise LimitReached(
            f"you have {still_open} open quotes, {most} at most",
            hint=f"use one of them, or wait: a quote expires after {settings.CHAPEK_QUOTE_TTL_S} s",
            limit=most,
            open=still_open,
        )


def expire_quotes(*, actor: Actor, limit: int = 200) -> int:
    """Close open quotes whose time is over. Returns how many."""
    now = database_now()
    due = Quote.objects.filter(state=QuoteState.OPEN, expires_at__lte=now).order_by("expires_at")[:limit]
    done = 0
    for stale in due:
        with transaction.atomic():
            row = Quote.objects.select_for_update(of=("self",), no_key=True, skip_locked=True).filter(
                pk=stale.pk, state=QuoteState.OPEN
            )
            for found in row:
                fire(machine=QUOTE, subject=found, event=QuoteEvent.EXPIRE, actor=actor)
                done += 1
    return done


def _project(*, actor: Actor, ref: str | None) -> Project:
    projects = Project.objects.visible_to(actor)
    found = projects.filter(ref=ref).first() if ref else projects.filter(is_default=True).first()
    if found is None:
        raise UnknownChoice("there is no project of that id", field="project")
    return found


def _check_names(request: QuoteRequest) -> None:
    if request.site is not None and not Site.objects.filter(code=request.site, is_open=True).exists():
        raise UnknownChoice(f"there is no site named {request.site}", field="site")
    if request.node_type is not None and not NodeType.objects.filter(code=request.node_type, is_offered=True).exists():
        raise UnknownChoice(f"there is no node type named {request.node_type}", field="node_type")
