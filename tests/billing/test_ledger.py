from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from accounts.models import Tenant
from billing import selectors, services
from billing.errors import LedgerUnbalanced
from billing.models import AccountKind, LedgerEntry, LedgerTransaction
from billing.services import ledger
from common.errors import InvalidRequest
from compliance.audit.models import AuditEvent
from tests.billing.world import OPERATOR, eur, post_raw, run_sql

pytestmark = pytest.mark.django_db


def test_granted_credit_is_prepaid_and_audited(tenant):
    posted = services.grant_credit(tenant=tenant, amount=eur("250.00"), reason="pilot", actor=OPERATOR)
    money = selectors.balance(tenant_id=tenant.pk)
    assert (money.prepaid, money.available) == (Decimal("250.00"), Decimal("250.00"))
    assert sum(posted.entries.values_list("amount", flat=True)) == 0
    event = AuditEvent.objects.get(kind="credit.granted")
    assert event.log_tenant_id == tenant.pk


@pytest.mark.parametrize(("amount", "reason"), [("0", "x"), ("-1", "x"), ("0.001", "x"), ("5", " ")])
def test_credit_that_makes_no_sense_is_refused(tenant, amount, reason):
    with pytest.raises(InvalidRequest):
        services.grant_credit(tenant=tenant, amount=eur(amount), reason=reason, actor=OPERATOR)
    assert LedgerTransaction.objects.count() == 0


def test_unbalanced_postings_are_refused_before_they_are_written(tenant):
    account = ledger.account(kind=AccountKind.PREPAID, currency="EUR", tenant_id=tenant.pk)
    with pytest.raises(LedgerUnbalanced):
        ledger.post(
            key="k", kind="x", tenant_id=tenant.pk, subject_ref="x", postings=[(account, Decimal(1))], actor=OPERATOR,
            occurred_at="2026-05-01T00:00:00Z",
        )  # fmt: skip
    assert LedgerTransaction.objects.count() == 0


def _granted(tenant):
    return services.grant_credit(tenant=tenant, amount=eur("10.00"), reason="x", actor=OPERATOR)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE billing_ledgerentry SET amount = amount * 2",
        "DELETE FROM billing_ledgerentry",
        "UPDATE billing_ledgertransaction SET memo = 'other'",
        "DELETE FROM billing_ledgertransaction",
        "UPDATE billing_ledgeraccount SET tenant_id = NULL",
        "DELETE FROM billing_ledgeraccount",
    ],
)
def test_the_database_refuses_to_change_or_delete_the_ledger(tenant, change):
    _granted(tenant)
    with pytest.raises(IntegrityError, match="append-only"):
        run_sql(change)


def test_the_database_refuses_an_unbalanced_transaction(tenant):
    account = ledger.account(kind=AccountKind.PREPAID, currency="EUR", tenant_id=tenant.pk)
    with pytest.raises(IntegrityError, match="does not balance"):
        post_raw((account, "1.00"))


def test_the_database_refuses_a_transaction_that_balances_only_across_currencies(tenant):
    euro = ledger.account(kind=AccountKind.PREPAID, currency="EUR", tenant_id=tenant.pk)
    koruna = ledger.account(kind=AccountKind.PREPAID, currency="CZK", tenant_id=tenant.pk)
    with pytest.raises(IntegrityError, match="does not balance"):
        post_raw((euro, "1.00"), (koruna, "-1.00"))


def test_the_database_refuses_an_empty_transaction(db):
    with pytest.raises(IntegrityError, match="is empty"):
        post_raw()


def test_nothing_is_posted_twice_under_one_key(tenant):
    posted = _granted(tenant)
    with pytest.raises(IntegrityError, match="key"), transaction.atomic():
        LedgerTransaction.objects.create(
            key=posted.key, kind="x", subject_ref="x", actor_ref="x", occurred_at="2026-05-01T00:00:00Z"
        )


@pytest.mark.django_db(transaction=True)
def test_a_committed_transaction_takes_no_more_entries(tenant):
    posted = _granted(tenant)
    account = posted.entries.first().account
    with pytest.raises(IntegrityError, match="sealed"), transaction.atomic():
        LedgerEntry.objects.bulk_create(
            LedgerEntry(transaction=posted, account=account, amount=amount) for amount in (Decimal(5), Decimal(-5))
        )


def test_a_tenant_with_money_cannot_be_deleted(tenant):
    _granted(tenant)
    with pytest.raises(Exception, match="protected"):
        Tenant.objects.get(pk=tenant.pk).delete()
