"""Taking money from a card: write the charge, commit, call, commit the answer. A crash between is healed by the key."""

from datetime import datetime, timedelta
from decimal import Decimal

import structlog
from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Least

from accounts.models import Tenant
from billing.errors import AuthenticationRequired, CardDeclined, GatewayRefused, GatewayUnavailable
from billing.gateway import PaymentFacts, PaymentGateway, PaymentStatus
from billing.models import AccountKind, Charge, Invoice, LedgerAccount, PaymentCustomer, PaymentMethod
from billing.selectors import outstanding
from billing.services import ledger
from billing.states import CHARGE, CardState, ChargeEvent, ChargeState
from common.actors import Actor, system_actor
from common.clock import database_now
from common.errors import Conflict, InvalidRequest, NotFound, PlatformFault
from common.money import Money
from common.outbox import publish
from common.state_machine import born, fire

log = structlog.get_logger(__name__)
CHARGER = system_actor(name="charger")

FIRST_PAUSE_S = 30
LONGEST_PAUSE_S = 3600
LEAST_CHARGE = Decimal("0.50")
"""Card processors take no less (EUR); a smaller rest stays owed until credit or the next invoice covers it."""
KEY_LIFE = timedelta(hours=20)
"""The processor remembers a key for at least 24 hours; after this we look before we send it again."""

_EVENTS = {
    PaymentStatus.SUCCEEDED: ChargeEvent.SUCCEED,
    PaymentStatus.DECLINED: ChargeEvent.DECLINE,
    PaymentStatus.ACTION_REQUIRED: ChargeEvent.REQUIRE_ACTION,
}


def request_charge(*, invoice: Invoice, actor: Actor) -> Charge | None:
    """Write down a charge of what is outstanding to the tenant's default card; it is sent after commit.

    Returns None without a card, with less than LEAST_CHARGE outstanding, or with a charge of this invoice under way.
    The caller holds the tenant's money.
    """
    method = _default_card(invoice.tenant_id)
    owed = outstanding(invoice=invoice)
    under_way = invoice.charges.filter(state__in=[ChargeState.PENDING, ChargeState.ACTION_REQUIRED]).exists()
    if method is None or owed < LEAST_CHARGE or under_way:
        return None
    attempt = invoice.charges.count() + 1
    return _write(
        Charge(
            tenant_id=invoice.tenant_id,
            purpose=Charge.Purpose.INVOICE,
            invoice=invoice,
            attempt=attempt,
            method=method,
            amount=owed,
            currency=invoice.currency,
            idempotency_key=f"chapek-{invoice.ref}-{attempt}",
        ),
        actor=actor,
    )


def request_top_up(*, tenant: Tenant, amount: Money, actor: Actor) -> Charge:
    """Write down a charge that becomes prepaid credit; it is sent after commit. Raises InvalidRequest, Conflict."""
    if amount.amount < LEAST_CHARGE or amount.rounded() != amount:
        raise InvalidRequest(f"a top-up is {LEAST_CHARGE} or more, in whole cents", field="amount")
    with transaction.atomic():
        ledger.lock_money(tenant_id=tenant.pk, currency=amount.currency)
        method = _default_card(tenant.pk)
        if method is None:
            raise Conflict("there is no card on file", hint="add a card first")
        charge = Charge(
            tenant=tenant,
            purpose=Charge.Purpose.TOP_UP,
            method=method,
            amount=amount.amount,
            currency=amount.currency,
        )
        charge.idempotency_key = f"chapek-{charge.ref}"
        return _write(charge, actor=actor)


def run_charge(*, charge_ref: str, gateway: PaymentGateway) -> ChargeState:
    """Send one pending charge and apply the answer. Not inside a transaction; safe to repeat at any point.

    Returns the state it is in afterwards: ``pending`` when the processor gave no usable answer (it is sent again,
    with the same key) or when another worker has it in hand. Raises NotFound.
    """
    if connection.in_atomic_block:
        raise PlatformFault("a card is never charged inside a transaction")
    charge = Charge.objects.select_related("method", "invoice").filter(ref=charge_ref).first()
    if charge is None:
        raise NotFound("there is no charge of that id", ref=charge_ref)
    if not _claim(charge):
        return ChargeState(charge.state)
    customer = PaymentCustomer.objects.get(tenant_id=charge.tenant_id, gateway=charge.method.gateway)
    now = database_now()
    try:
        if charge.sent_count and now - charge.requested_at > KEY_LIFE:
            found = gateway.find_payment(
                customer_ref=customer.customer_ref,
                charge_ref=charge.ref,
                since_at=charge.requested_at - timedelta(hours=1),
            )
            return _apply_or_give_up(charge, found)
        facts = gateway.charge(
            customer_ref=customer.customer_ref,
            provider_ref=charge.method.provider_ref,
            amount=Money(charge.amount, charge.currency),
            charge_ref=charge.ref,
            description=charge.invoice.number if charge.invoice and charge.invoice.number else charge.ref,
            idempotency_key=charge.idempotency_key,
        )
    except CardDeclined as refusal:
        facts = _facts(charge, PaymentStatus.DECLINED, refusal)
    except AuthenticationRequired as refusal:
        facts = _facts(charge, PaymentStatus.ACTION_REQUIRED, refusal)
    except (GatewayUnavailable, GatewayRefused) as error:
        log.warning("charge not answered", charge=charge.ref, error=error.code, sent=charge.sent_count + 1)
        return ChargeState.PENDING
    return apply_payment(charge_ref=charge.ref, facts=facts)


def apply_payment(*, charge_ref: str, facts: PaymentFacts) -> ChargeState:
    """Bring a charge to what the processor says of its payment; book the money once. Any order, any number of times."""
    with transaction.atomic():
        seen = Charge.objects.only("tenant_id", "currency").get(ref=charge_ref)
        ledger.lock_money(tenant_id=seen.tenant_id, currency=seen.currency)
        charge = (
            Charge.objects.select_for_update(of=("self",), no_key=True).select_related("method").get(ref=charge_ref)
        )
        event = _EVENTS.get(facts.status)
        if event is None or (charge.state, event) not in CHARGE.table:
            return ChargeState(charge.state)
        charge.payment_ref = facts.payment_ref or charge.payment_ref
        charge.failure_code, charge.failure_message = facts.reason[:60], facts.message[:300]
        charge.save(update_fields=["payment_ref", "failure_code", "failure_message"])
        change = fire(
            machine=CHARGE,
            subject=charge,
            event=event,
            actor=CHARGER,
            details={
                "amount": f"{charge.amount} {charge.currency}",
                "invoice": charge.invoice_id
                and Invoice.objects.values_list("ref", flat=True).get(pk=charge.invoice_id),
                "reason": facts.reason,
            },
        )
        if event == ChargeEvent.SUCCEED:
            _book(charge, at=change.at)
        publish(
            kind=f"charge.{charge.state}",
            aggregate=charge.ref,
            payload={"charge_ref": charge.ref, "tenant_id": charge.tenant_id, "reason": facts.reason},
            occurred_at=change.at,
        )
        return ChargeState(charge.state)


def authenticate_charge(*, actor: Actor, charge_ref: str, return_url: str, gateway: PaymentGateway) -> str:
    """The bank's page on which the owner confirms a charge that asked for it. Not inside a transaction.

    Returns an empty string when nothing is to be confirmed any more. Raises NotFound, Conflict, gateway errors.
    """
    charge = Charge.objects.visible_to(actor).select_related("method").filter(ref=charge_ref).first()
    if charge is None:
        raise NotFound("there is no charge of that id", ref=charge_ref)
    if charge.state != ChargeState.ACTION_REQUIRED:
        raise Conflict(f"the charge is {charge.state}; there is nothing to confirm", state=charge.state)
    try:
        url = gateway.authenticate(
            payment_ref=charge.payment_ref,
            provider_ref=charge.method.provider_ref,
            return_url=return_url,
            idempotency_key=f"{charge.idempotency_key}-confirm-{int(database_now().timestamp())}",
        )
    except CardDeclined as refusal:
        apply_payment(charge_ref=charge.ref, facts=_facts(charge, PaymentStatus.DECLINED, refusal))
        raise
    if not url:
        apply_payment(charge_ref=charge.ref, facts=gateway.payment(payment_ref=charge.payment_ref))
    return url


def send_due_charges(*, at: datetime, gateway: PaymentGateway, limit: int = 50) -> int:
    """Send again what was never answered. Returns how many were tried."""
    due = Charge.objects.filter(state=ChargeState.PENDING, next_send_at__lte=at).order_by("next_send_at")
    refs = list(due.values_list("ref", flat=True)[:limit])
    for ref in refs:
        run_charge(charge_ref=ref, gateway=gateway)
    return len(refs)


def _default_card(tenant_id: int) -> PaymentMethod | None:
    return PaymentMethod.objects.filter(tenant_id=tenant_id, is_default=True, state=CardState.ACTIVE).first()


def _write(charge: Charge, *, actor: Actor) -> Charge:
    charge.requested_by_ref = actor.ref
    charge.requested_at = charge.next_send_at = database_now()
    charge.save(force_insert=True)
    born(
        machine=CHARGE,
        subject=charge,
        actor=actor,
        details={"amount": f"{charge.amount} {charge.currency}", "card": charge.method.ref, "attempt": charge.attempt},
    )
    transaction.on_commit(lambda: _wake(charge.ref), robust=True)
    return charge


def _wake(charge_ref: str) -> None:
    """Losing this call costs at most a minute: beat looks for due charges."""
    from billing.tasks import run_charge as task

    task.apply_async(kwargs={"charge_ref": charge_ref}, retry=False)


def _claim(charge: Charge) -> bool:
    """Take the pending charge for this sending: whoever comes before ``next_send_at`` leaves it alone."""
    now = database_now()
    pause_s = min(FIRST_PAUSE_S * 2 ** min(charge.sent_count, 10), LONGEST_PAUSE_S)
    claimed = Charge.objects.filter(pk=charge.pk, state=ChargeState.PENDING, next_send_at__lte=now).update(
        sent_count=Least(F("sent_count") + 1, Value(1_000_000)), next_send_at=now + timedelta(seconds=pause_s)
    )
    return bool(claimed)


def _apply_or_give_up(charge: Charge, found: PaymentFacts | None) -> ChargeState:
    """After the key's life: believe what the processor knows; when it knows of no such payment, nothing was taken."""
    if found is not None:
        return apply_payment(charge_ref=charge.ref, facts=found)
    with transaction.atomic():
        locked = Charge.objects.select_for_update(of=("self",), no_key=True).get(pk=charge.pk)
        if locked.state == ChargeState.PENDING:
            fire(
                machine=CHARGE,
                subject=locked,
                event=ChargeEvent.GIVE_UP,
                actor=CHARGER,
                details={"sent": charge.sent_count},
            )
        return ChargeState(locked.state)


def _facts(charge: Charge, status: PaymentStatus, refusal: CardDeclined | AuthenticationRequired) -> PaymentFacts:
    return PaymentFacts(
        payment_ref=str(refusal.context.get("payment_ref", "")),
        charge_ref=charge.ref,
        status=status,
        amount=Money(charge.amount, charge.currency),
        reason=str(refusal.context.get("reason", "")),
        message=refusal.message,
    )


def _book(charge: Charge, *, at: datetime) -> None:
    """Money at the processor: it pays its invoice, and what the invoice no longer needs becomes prepaid credit."""
    from billing.services.issuing import mark_paid, pay_open_invoices

    def own(kind: AccountKind) -> LedgerAccount:
        return ledger.account(kind=kind, currency=charge.currency, tenant_id=charge.tenant_id)

    invoice = charge.invoice
    needed = Decimal(0) if invoice is None else min(charge.amount, max(Decimal(0), outstanding(invoice=invoice)))
    at_processor = ledger.account(kind=AccountKind.CARDS, currency=charge.currency)
    parts = [(invoice.ref if invoice else charge.ref, AccountKind.RECEIVABLE, needed)]
    parts.append((charge.ref, AccountKind.PREPAID, charge.amount - needed))
    for subject_ref, kind, part in parts:
        ledger.post(
            key=f"charge:{charge.ref}:{kind}",
            kind="card_charged",
            tenant_id=charge.tenant_id,
            subject_ref=subject_ref,
            memo=charge.payment_ref,
            postings=[(at_processor, part), (own(kind), -part)],
            actor=CHARGER,
            occurred_at=at,
        )
    if invoice is not None:
        mark_paid(invoice=invoice, actor=CHARGER)
    if charge.amount > needed:
        pay_open_invoices(tenant_id=charge.tenant_id, currency=charge.currency, actor=CHARGER, at=at)
