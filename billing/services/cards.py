"""Cards on file. The calls to the processor are made between transactions, never inside one."""

from dataclasses import dataclass

import structlog
from django.db import connection, transaction

from accounts.models import Tenant
from billing.errors import GatewayRefused, GatewayUnavailable
from billing.gateway import CardFacts, PaymentGateway, SetupStatus
from billing.models import CreditLine, PaymentCustomer, PaymentMethod
from billing.services.credit import close_credit_line, open_credit_line
from billing.states import CARD, CardEvent, CardState
from common.actors import Actor
from common.errors import NotFound, PlatformFault
from common.money import Money
from common.state_machine import born, fire

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class CardSetup:
    """``url`` is the processor's page to send the browser to; ``card_ref`` our id of the card to be."""

    card_ref: str
    url: str


def begin_card_setup(
    *, tenant: Tenant, actor: Actor, gateway: PaymentGateway, success_url: str, cancel_url: str
) -> CardSetup:
    """Open the processor's page for entering a card. Not inside a transaction.

    Raises CardsNotConfigured, GatewayUnavailable, GatewayRefused.
    """
    _outside_transaction()
    customer_ref = _customer(tenant=tenant, gateway=gateway)
    with transaction.atomic():
        card = PaymentMethod.objects.create(tenant=tenant, gateway=gateway.name, created_by_ref=actor.ref)
        born(machine=CARD, subject=card, actor=actor, details={})
    setup = gateway.begin_card_setup(
        customer_ref=customer_ref,
        card_ref=card.ref,
        success_url=success_url,
        cancel_url=cancel_url,
        idempotency_key=f"chapek-setup-{card.ref}",
    )
    PaymentMethod.objects.filter(pk=card.pk).update(setup_ref=setup.setup_ref)
    return CardSetup(card_ref=card.ref, url=setup.url)


def refresh_card(
    *, gateway: PaymentGateway, credit_limit: Money, actor: Actor, card_ref: str = "", setup_ref: str = ""
) -> PaymentMethod:
    """Ask the processor how the set-up went and put the card on file. Not inside a transaction; safe to repeat.

    The first card becomes the default and opens a credit line of ``credit_limit``. Called when the browser returns
    and on the processor's news, whichever is first. Raises NotFound, gateway errors.
    """
    _outside_transaction()
    named = {"ref": card_ref} if card_ref else {"setup_ref": setup_ref or "-"}
    card = PaymentMethod.objects.select_related("tenant").filter(**named).first()
    if card is None:
        raise NotFound("there is no card of that id", ref=card_ref or setup_ref)
    if card.state != CardState.PENDING or not card.setup_ref:
        return card
    setup = gateway.card_setup(setup_ref=card.setup_ref)
    if setup.status == SetupStatus.WAITING:
        return card
    with transaction.atomic():
        # Two returns at once, or two cards at once: the tenant's row puts them in order.
        Tenant.objects.select_for_update(of=("self",), no_key=True).get(pk=card.tenant_id)
        locked = PaymentMethod.objects.select_for_update(of=("self",), no_key=True).get(pk=card.pk)
        if locked.state != CardState.PENDING:
            return locked
        if setup.card is None:
            fire(machine=CARD, subject=locked, event=CardEvent.LAPSE, actor=actor)
            return locked
        _put_on_file(locked, facts=setup.card, actor=actor)
        if not CreditLine.objects.filter(tenant=card.tenant, source=CreditLine.Source.CARD, closed_at=None).exists():
            open_credit_line(tenant=card.tenant, limit=credit_limit, source=CreditLine.Source.CARD, actor=actor)
        return locked


def remove_card(*, actor: Actor, card_ref: str, gateway: PaymentGateway) -> PaymentMethod:
    """Take a card off file, here at once and at the processor as soon as it answers. Not inside a transaction.

    The next card becomes the default; with the last one its credit line closes. Raises NotFound, IllegalTransition.
    """
    _outside_transaction()
    with transaction.atomic():
        cards = PaymentMethod.objects.visible_to(actor)
        Tenant.objects.select_for_update(of=("self",), no_key=True).get(pk=actor.tenant_id or 0)
        card = cards.select_for_update(of=("self",), no_key=True).select_related("tenant").filter(ref=card_ref).first()
        if card is None:
            raise NotFound("there is no card of that id", ref=card_ref)
        PaymentMethod.objects.filter(pk=card.pk).update(is_default=False)
        card.is_default = False
        fire(machine=CARD, subject=card, event=CardEvent.REMOVE, actor=actor, details={"card": str(card)})
        following = (
            PaymentMethod.objects.filter(tenant_id=card.tenant_id, state=CardState.ACTIVE).order_by("-pk").first()
        )
        if following is None:
            close_credit_line(tenant=card.tenant, source=CreditLine.Source.CARD, actor=actor, reason="no card on file")
        elif not PaymentMethod.objects.filter(tenant_id=card.tenant_id, is_default=True).exists():
            PaymentMethod.objects.filter(pk=following.pk).update(is_default=True)
    try:
        gateway.remove_card(provider_ref=card.provider_ref)
    except (GatewayUnavailable, GatewayRefused) as error:
        log.warning("card not forgotten at the processor", card=card.ref, error=error.code)
    return card


def _outside_transaction() -> None:
    if connection.in_atomic_block:
        raise PlatformFault("the card processor is never called inside a transaction")


def _customer(*, tenant: Tenant, gateway: PaymentGateway) -> str:
    known = PaymentCustomer.objects.filter(tenant=tenant, gateway=gateway.name).first()
    if known is None:
        customer_ref = gateway.create_customer(
            tenant_ref=tenant.ref,
            name=tenant.legal_name,
            email=tenant.billing_email,
            idempotency_key=f"chapek-customer-{tenant.ref}",
        )
        known, _made = PaymentCustomer.objects.get_or_create(
            tenant=tenant, gateway=gateway.name, defaults={"customer_ref": customer_ref}
        )
    return known.customer_ref


def _put_on_file(card: PaymentMethod, *, facts: CardFacts, actor: Actor) -> None:
    card.provider_ref = facts.provider_ref
    card.brand, card.last4 = facts.brand[:20], facts.last4[:4]
    card.expires_month, card.expires_year = facts.expires_month, facts.expires_year
    card.save(update_fields=["provider_ref", "brand", "last4", "expires_month", "expires_year"])
    fire(
        machine=CARD,
        subject=card,
        event=CardEvent.CONFIRM,
        actor=actor,
        details={"brand": card.brand, "last4": card.last4, "expires": f"{card.expires_year}-{card.expires_month:02d}"},
    )
    if not PaymentMethod.objects.filter(tenant_id=card.tenant_id, is_default=True).exists():
        card.is_default = True
        card.save(update_fields=["is_default"])
