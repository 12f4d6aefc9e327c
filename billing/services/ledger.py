"""Posting. Balances are sums of entries; nothing is ever corrected in place."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet

from billing.errors import LedgerUnbalanced
from billing.models import AccountKind, LedgerAccount, LedgerEntry, LedgerTransaction
from common.actors import Actor

Posting = tuple[LedgerAccount, Decimal]
"""Account and amount, debit positive."""


def account(
    *, kind: AccountKind, currency: str, tenant_id: int | None = None, pool_code: str = "", country: str = ""
) -> LedgerAccount:
    """The one account of that name, made at its first use."""
    name = {"kind": kind, "currency": currency, "tenant_id": tenant_id, "pool_code": pool_code, "country": country}
    return _found_or_made(LedgerAccount.objects.all(), name)


def lock_money(*, tenant_id: int, currency: str) -> LedgerAccount:
    """The tenant's prepaid account, locked: who decides on the tenant's money holds this row."""
    name = {"kind": AccountKind.PREPAID, "currency": currency, "tenant_id": tenant_id, "pool_code": "", "country": ""}
    return _found_or_made(LedgerAccount.objects.select_for_update(of=("self",), no_key=True), name)


def _found_or_made(rows: QuerySet[LedgerAccount], name: dict[str, Any]) -> LedgerAccount:
    found = rows.filter(**name).first()
    if found is None:
        # Two first uses at once: the second insert does nothing and reads what the first made.
        LedgerAccount.objects.bulk_create([LedgerAccount(**name)], ignore_conflicts=True)
        found = rows.get(**name)
    return found


def post(
    *,
    key: str,
    kind: str,
    tenant_id: int | None,
    subject_ref: str,
    postings: Sequence[Posting],
    actor: Actor,
    occurred_at: datetime,
    reservation_ref: str = "",
    memo: str = "",
) -> LedgerTransaction | None:
    """Write one balanced transaction; postings of zero are left out, and None is returned when nothing is left.

    ``key`` names the event that moved the money; a second posting of it breaks on its unique constraint.
    Raises LedgerUnbalanced.
    """
    sums: dict[str, Decimal] = {}
    for where, amount in postings:
        sums[where.currency] = sums.get(where.currency, Decimal(0)) + amount
    if any(sums.values()):
        raise LedgerUnbalanced(f"{kind} {subject_ref} does not sum to zero", sums={c: str(s) for c, s in sums.items()})
    moved = [(where, amount) for where, amount in postings if amount]
    if not moved:
        return None
    made = LedgerTransaction.objects.create(
        key=key,
        kind=kind,
        tenant_id=tenant_id,
        subject_ref=subject_ref,
        reservation_ref=reservation_ref,
        memo=memo[:300],
        actor_ref=actor.ref,
        occurred_at=occurred_at,
    )
    LedgerEntry.objects.bulk_create(
        LedgerEntry(transaction=made, account=where, amount=amount) for where, amount in moved
    )
    return made
