"""Credit given by the operator, and credit lines."""

from django.db import transaction

from accounts.models import Tenant
from billing.models import AccountKind, CreditLine, LedgerTransaction
from billing.services import ledger
from billing.services.issuing import pay_open_invoices
from common.actors import Actor
from common.clock import database_now
from common.errors import InvalidRequest
from common.ids import new_ref
from common.money import Money
from compliance.audit.services import record


@transaction.atomic
def grant_credit(*, tenant: Tenant, amount: Money, reason: str, actor: Actor) -> LedgerTransaction:
    """Give prepaid credit away (goodwill, demonstration); open invoices are paid from it at once.

    Raises InvalidRequest for an amount that is not positive whole cents, or without a reason.
    """
    if amount.amount <= 0 or amount.rounded() != amount:
        raise InvalidRequest("credit is a positive amount of whole cents", field="amount")
    if not reason.strip():
        raise InvalidRequest("say why the credit is given", field="reason")
    ledger.lock_money(tenant_id=tenant.pk, currency=amount.currency)
    now = database_now()
    subject_ref = new_ref("crg")
    given = ledger.account(kind=AccountKind.GOODWILL, currency=amount.currency)
    prepaid = ledger.account(kind=AccountKind.PREPAID, currency=amount.currency, tenant_id=tenant.pk)
    posted = ledger.post(
        key=f"credit:{subject_ref}",
        kind="credit_granted",
        tenant_id=tenant.pk,
        subject_ref=subject_ref,
        memo=reason,
        postings=[(given, amount.amount), (prepaid, -amount.amount)],
        actor=actor,
        occurred_at=now,
    )
    assert posted is not None  # noqa: S101 - the amount is not zero
    record(
        log_tenant_id=tenant.pk,
        kind="credit.granted",
        subject_ref=subject_ref,
        actor=actor,
        details={"amount": str(amount), "reason": reason},
        at=now,
    )
    pay_open_invoices(tenant_id=tenant.pk, currency=amount.currency, actor=actor, at=now)
    return posted


@transaction.atomic
def open_credit_line(
    *,
    tenant: Tenant,
    limit: Money,
    actor: Actor,
    source: CreditLine.Source = CreditLine.Source.OPERATOR,
    reason: str = "",
) -> CreditLine:
    """Let the tenant use up to ``limit`` before paying; replaces the open line of the same source."""
    if limit.amount < 0:
        raise InvalidRequest("a limit is not negative", field="limit")
    ledger.lock_money(tenant_id=tenant.pk, currency=limit.currency)
    now = database_now()
    CreditLine.objects.filter(tenant=tenant, source=source, currency=limit.currency, closed_at=None).update(
        closed_at=now
    )
    line = CreditLine.objects.create(
        tenant=tenant,
        source=source,
        limit=limit.rounded().amount,
        currency=limit.currency,
        reason=reason[:200],
        opened_by_ref=actor.ref,
        opened_at=now,
    )
    record(
        log_tenant_id=tenant.pk,
        kind="credit_line.opened",
        subject_ref=tenant.ref,
        actor=actor,
        details={"limit": str(limit), "source": source, "reason": reason},
        at=now,
    )
    return line


@transaction.atomic
def close_credit_line(*, tenant: Tenant, source: CreditLine.Source, actor: Actor, reason: str = "") -> int:
    """No more credit from this source; what was used is still owed. Returns how many lines were closed."""
    now = database_now()
    closed = CreditLine.objects.filter(tenant=tenant, source=source, closed_at=None).update(closed_at=now)
    if closed:
        record(
            log_tenant_id=tenant.pk,
            kind="credit_line.closed",
            subject_ref=tenant.ref,
            actor=actor,
            details={"source": source, "reason": reason},
            at=now,
        )
    return closed
