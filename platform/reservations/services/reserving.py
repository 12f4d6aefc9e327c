"""From quote to promise: one transaction in which money is held, nodes are locked and rows inserted."""

import re

from django.db import IntegrityError, transaction

import placement.choose
from accounts import permissions
from accounts.models import SshKey, Tenant
from accounts.roles import Permission
from billing import services as billing
from common import vault
from common.actors import Actor
from common.clock import database_now
from common.errors import InvalidRequest, NotFound
from common.money import Money
from common.periods import Period
from common.state_machine import born, fire
from inventory.models import Image, Node, Stock
from placement.model import Workload
from provisioning.nocloud import check_user_data
from reservations import selectors
from reservations.errors import OutOfStock, QuoteUnusable, UnknownChoice
from reservations.models import USER_DATA, Allocation, Quote, Reservation
from reservations.requests import Access
from reservations.services.lifecycle import begin_deployment
from reservations.services.quotes import check_limit
from reservations.states import QUOTE, RESERVATION, QuoteEvent, QuoteState

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


def reserve(*, actor: Actor, quote_ref: str, access: Access, name: str) -> Reservation:
    """Turn an open quote into a reservation that holds concrete nodes from this second on.

    Locks in the house order: tenant, stock, nodes, quote, ledger account. Raises QuoteUnusable, OutOfStock,
    LimitReached, InsufficientFunds, UnknownChoice or InvalidRequest; then nothing was changed.
    """
    permissions.require(actor, Permission.RESERVE)
    access.check()
    check_user_data(access.user_data)
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            "a name is 1 to 63 lower-case letters, digits and hyphens and begins with a letter", field="name"
        )
    try:
        with transaction.atomic():
            return _reserve(actor=actor, quote_ref=quote_ref, access=access, name=name)
    except IntegrityError as error:
        # The lock is the way, the exclusion constraint is the net: whoever falls into it was simply too late.
        if "node_promised_once" in str(error):
            raise OutOfStock("the nodes of this quote were taken a moment ago") from error
        raise


def _reserve(*, actor: Actor, quote_ref: str, access: Access, name: str) -> Reservation:
    image = _image(access.image_code)
    keys = _ssh_keys(actor=actor, refs=access.ssh_key_refs)
    # Read before anything is locked: but for its state, a quote never changes.
    offer = selectors.quote(actor=actor, ref=quote_ref)
    tenant = Tenant.objects.select_for_update(of=("self",), no_key=True).get(pk=permissions.tenant_id_of(actor=actor))
    check_limit(tenant=tenant, node_count=offer.node_count)
    # Buyers of the same stock queue here, so that the constraint below is never reached by an ordinary race.
    Stock.objects.select_for_update(of=("self",), no_key=True).get(site=offer.site, node_type=offer.node_type)
    now = database_now()
    starts_now = offer.starts_at is None or offer.starts_at <= now
    starts_at = now if offer.starts_at is None else max(offer.starts_at, now)
    nodes = _lock_nodes(offer=offer, period=Period(start_at=starts_at, end_at=offer.ends_at), starts_now=starts_now)
    held = Quote.objects.select_for_update(of=("self",), no_key=True)
    state = held.values_list("state", flat=True).get(pk=offer.pk)
    if state != QuoteState.OPEN or offer.expires_at <= now:
        raise QuoteUnusable(f"the quote is {state if state != QuoteState.OPEN else 'expired'}")
    made = Reservation.objects.create(
        tenant=tenant,
        name=name,
        project_id=offer.project_id,
        quote=offer,
        site=offer.site,
        node_type=offer.node_type,
        node_count=offer.node_count,
        image=image,
        starts_at=starts_at,
        ends_at=offer.ends_at,
        workload={"class": offer.request["workload_class"], "gpu_memory_gib": offer.request["gpu_memory_gib"]},
        ssh_public_keys=[key.public_key for key in keys],
        user_data_sealed=vault.seal(access.user_data, context=USER_DATA),
        price_snapshot_id=offer.price_snapshot_id,
        max_spend=offer.max_spend,
        decision=offer.decision,
        created_by_ref=actor.ref,
    )
    period = Period(start_at=starts_at, end_at=offer.ends_at).as_range()
    Allocation.objects.bulk_create(
        Allocation(tenant=tenant, reservation=made, node=node, period=period) for node in nodes
    )
    billing.hold_next_hour(
        tenant_id=tenant.pk,
        reservation_ref=made.ref,
        hourly_gross=Money(billing.hourly_gross(estimate=offer.estimate), offer.price_snapshot.currency),
        at=now,
        ends_at=offer.ends_at,
    )
    born(
        machine=RESERVATION,
        subject=made,
        actor=actor,
        details={
            "quote": offer.ref,
            "nodes": [node.ref for node in nodes],
            "image": str(image),
            "site": offer.site.code,
        },
    )
    fire(machine=QUOTE, subject=offer, event=QuoteEvent.USE, actor=actor, details={"reservation": made.ref})
    if starts_now:
        begin_deployment(reservation=made, nodes=nodes, actor=actor)
    return made


def _lock_nodes(*, offer: Quote, period: Period, starts_now: bool) -> list[Node]:
    """The nodes of the decision that still hold, or equally good ones; locked in key order."""
    decision = placement.choose.choose(
        workload=Workload(node_count=offer.node_count, node_type=offer.node_type.code, site=offer.site.code),
        candidates=selectors.candidates(
            period=period, starts_now=starts_now, at=offer.created_at, site=offer.site, node_type=offer.node_type
        ),
    )
    if decision.chosen is None:
        raise OutOfStock("the nodes of this quote were taken meanwhile", ruled_out=decision.as_record()["ruled_out"])
    ids = [node.id for node in decision.chosen.nodes]
    return list(
        Node.objects.select_for_update(of=("self",), no_key=True)
        .select_related("site", "node_type", "rack", "pool", "bmc")
        .filter(pk__in=ids)
        .order_by("pk")
    )


def _image(code: str) -> Image:
    image = Image.objects.filter(code=code, is_offered=True).order_by("-added_at", "-pk").first()
    if image is None:
        raise UnknownChoice(f"there is no image named {code}", field="image", hint="GET /api/v1/images lists them")
    return image


def _ssh_keys(*, actor: Actor, refs: tuple[str, ...]) -> list[SshKey]:
    keys = list(SshKey.objects.visible_to(actor).filter(ref__in=set(refs)).order_by("pk"))
    if len(keys) != len(set(refs)):
        raise NotFound("one of the SSH keys is not known", field="ssh_keys")
    return keys
