import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Tenant
from billing import selectors, services
from billing.models import AccountKind, Invoice, LedgerAccount, LedgerEntry, LedgerTransaction, UsageInterval
from billing.rating import rated, tax_on
from billing.states import InvoiceState
from common.errors import InvalidRequest, NotFound
from common.models import OutboxEvent
from common.state_machine import IllegalTransition
from compliance.audit.models import AuditEvent
from tests.billing.world import CONDUCTOR, OPERATOR, eur, make_price, make_tenant, member_of, run_sql, subject, use, utc
from tests.campaigns import examples

pytestmark = pytest.mark.django_db
START = utc(2026, 5, 1, 10)


def _draft(tenant, now, ref=""):
    return services.draft_invoice(tenant_id=tenant.pk, reservation_ref=ref, at=now, actor=OPERATOR)


def _issued(tenant, price, now, hours=1):
    ref = use(tenant, price, from_at=START, until_at=START + timedelta(hours=hours))
    return services.issue_invoice(invoice=_draft(tenant, now, ref), actor=OPERATOR)


def _balances(**account):
    rows = LedgerEntry.objects.filter(**{f"account__{name}": value for name, value in account.items()})
    return dict(rows.values_list("account__kind").annotate(total=Sum("amount")))


def test_a_draft_has_a_line_per_node_with_its_seconds_and_no_number(tenant, price, now):
    ref = use(tenant, price, from_at=START, until_at=START + timedelta(seconds=3601), nodes=[subject(), subject()])
    draft = _draft(tenant, now, ref)
    lines = list(draft.lines.all())
    assert [(line.position, line.seconds, line.net) for line in lines] == [
        (1, 3601, Decimal("23.21")),
        (2, 3601, Decimal("23.21")),
    ]
    assert (draft.state, draft.number) == (InvoiceState.DRAFT, None)
    assert (draft.net, draft.tax, draft.gross) == (Decimal("46.42"), Decimal("9.75"), Decimal("56.17"))
    assert draft.tax_summary == [
        {
            "treatment": "domestic",
            "country": "CZ",
            "percent": "21.00",
            "net": "46.42",
            "tax": "9.75",
            "note": "VAT CZ 21 %",
        }
    ]


def test_drafting_again_puts_nothing_on_twice_and_late_usage_joins_the_draft(tenant, price, now):
    ref = use(tenant, price, from_at=START, until_at=START + timedelta(hours=1))
    first = _draft(tenant, now, ref)
    assert _draft(tenant, now, ref).pk == first.pk
    use(tenant, price, from_at=START + timedelta(hours=2), until_at=START + timedelta(hours=3), reservation_ref=ref)
    grown = _draft(tenant, now, ref)
    assert (grown.pk, grown.lines.count(), grown.net) == (first.pk, 2, Decimal("46.40"))
    assert Invoice.objects.count() == 1


def test_nothing_used_makes_no_invoice(tenant, now):
    assert _draft(tenant, now, "res_failed_build") is None
    assert Invoice.objects.count() == 0


def test_the_future_cannot_be_invoiced(tenant, now):
    with pytest.raises(InvalidRequest):
        _draft(tenant, now + timedelta(hours=1))


def test_a_running_reservation_is_cut_for_its_invoice_and_loses_no_second(tenant, price, now):
    snapshot = services.freeze_price(tenant=tenant, price=price)
    services.start_metering(
        tenant_id=tenant.pk, reservation_ref="res_a", snapshot=snapshot, nodes=[subject()],
        from_at=now - timedelta(hours=5), actor=CONDUCTOR,
    )  # fmt: skip
    cut_at = now - timedelta(hours=2)
    draft = _draft(tenant, cut_at)
    assert (draft.net, draft.period_until_at) == (Decimal("69.60"), cut_at)
    services.stop_metering(reservation_ref="res_a", until_at=now, actor=CONDUCTOR)
    rest = _draft(tenant, now, "res_a")
    assert rest.net == Decimal("46.40")
    assert draft.net + rest.net == selectors.cost_of(reservation_refs=["res_a"], at=now)["res_a"].net


def test_issuing_numbers_freezes_and_posts(tenant, price, now):
    invoice = _issued(tenant, price, now)
    assert invoice.state == InvoiceState.ISSUED
    assert invoice.number == f"INV-{invoice.issued_on.year}-000001"
    assert invoice.tax_point_on == START.date()
    assert invoice.due_on == invoice.issued_on + timedelta(days=14)
    assert invoice.seller["legal_name"] == "Chapek s.r.o."
    assert invoice.buyer["legal_name"] == tenant.legal_name
    assert _balances(tenant=tenant) == {AccountKind.ACCRUED: 0, AccountKind.RECEIVABLE: Decimal("28.07")}
    assert _balances(kind=AccountKind.TAX, country="CZ") == {AccountKind.TAX: Decimal("-4.87")}
    assert selectors.outstanding(invoice=invoice) == invoice.gross == Decimal("28.07")
    news = OutboxEvent.objects.get(kind="invoice.issued").payload
    assert (news["invoice_ref"], news["number"], news["gross"]) == (invoice.ref, invoice.number, "28.07")
    kinds = AuditEvent.objects.filter(subject_ref=invoice.ref).order_by("pk").values_list("kind", flat=True)
    assert list(kinds) == ["invoice.created", "invoice.issue"]


def test_prepaid_credit_is_drawn_and_the_invoice_is_paid(tenant, price, now):
    services.grant_credit(tenant=tenant, amount=eur("100.00"), reason="x", actor=OPERATOR)
    invoice = _issued(tenant, price, now)
    assert invoice.state == InvoiceState.PAID
    money = selectors.balance(tenant_id=tenant.pk)
    assert (money.prepaid, money.receivable, money.accrued) == (Decimal("71.93"), Decimal(0), Decimal(0))


def test_too_little_credit_is_drawn_to_the_last_cent_and_later_credit_pays_the_rest(tenant, price, now):
    services.grant_credit(tenant=tenant, amount=eur("20.00"), reason="x", actor=OPERATOR)
    invoice = _issued(tenant, price, now)
    assert (invoice.state, selectors.outstanding(invoice=invoice)) == (InvoiceState.ISSUED, Decimal("8.07"))
    services.grant_credit(tenant=tenant, amount=eur("10.00"), reason="x", actor=OPERATOR)
    invoice.refresh_from_db()
    assert invoice.state == InvoiceState.PAID
    assert selectors.balance(tenant_id=tenant.pk).prepaid == Decimal("1.93")


def test_an_invoice_is_issued_once(tenant, price, now):
    invoice = _issued(tenant, price, now)
    with pytest.raises(IllegalTransition):
        services.issue_invoice(invoice=invoice, actor=OPERATOR)
    assert LedgerTransaction.objects.filter(kind="invoice_issued").count() == 1


def test_what_was_issued_keeps_the_buyer_as_it_was(tenant, price, now):
    invoice = _issued(tenant, price, now)
    Tenant.objects.filter(pk=tenant.pk).update(legal_name="Renamed a.s.")
    invoice.refresh_from_db()
    assert invoice.buyer["legal_name"] == tenant.legal_name


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE billing_invoice SET net = net + 1, gross = gross + 1",
        "UPDATE billing_invoice SET number = 'INV-2026-999999'",
        "UPDATE billing_invoice SET number = NULL, state = 'draft'",
        "UPDATE billing_invoice SET state = 'draft'",
        "UPDATE billing_invoice SET buyer = '{}'",
        "DELETE FROM billing_invoice",
        "UPDATE billing_invoiceline SET net = 0",
        "DELETE FROM billing_invoiceline",
        "INSERT INTO billing_invoiceline SELECT * FROM billing_invoiceline",
    ],
)
def test_the_database_refuses_to_change_an_issued_invoice(tenant, price, now, change):
    _issued(tenant, price, now)
    with pytest.raises(IntegrityError):
        run_sql(change)


def test_the_database_refuses_a_number_on_a_draft(tenant, price, now):
    draft = _draft(tenant, now, use(tenant, price, from_at=START, until_at=START + timedelta(hours=1)))
    with pytest.raises(IntegrityError):
        run_sql("UPDATE billing_invoice SET number = 'INV-2026-000007' WHERE id = %s", draft.pk)


def test_an_unpaid_invoice_is_overdue_after_its_due_day_in_the_sellers_time_zone(tenant, price, now):
    invoice = _issued(tenant, price, now)
    last_second = utc(invoice.due_on.year, invoice.due_on.month, invoice.due_on.day, 12)
    assert services.mark_overdue(at=last_second, actor=CONDUCTOR) == 0
    assert services.mark_overdue(at=last_second + timedelta(days=1), actor=CONDUCTOR) == 1
    invoice.refresh_from_db()
    assert invoice.state == InvoiceState.OVERDUE
    services.grant_credit(tenant=tenant, amount=eur("28.07"), reason="paid late", actor=OPERATOR)
    invoice.refresh_from_db()
    assert invoice.state == InvoiceState.PAID


def test_a_reverse_charge_invoice_bears_no_tax_and_says_why(seller, price, now):
    buyer = make_tenant(country="DE", vat_id="DE123456789", vat_id_state="verified")
    invoice = _issued(buyer, price, now)
    assert (invoice.net, invoice.tax, invoice.gross) == (Decimal("23.20"), Decimal("0.00"), Decimal("23.20"))
    assert invoice.tax_summary[0]["treatment"] == "reverse_charge"
    assert "Article 196" in invoice.tax_summary[0]["note"]


def test_a_tenant_sees_its_own_invoices_and_never_anothers(tenant, price, now):
    invoice = _issued(tenant, price, now)
    assert selectors.invoice(actor=member_of(tenant), ref=invoice.ref).lines.count() == 1
    stranger = member_of(make_tenant())
    assert list(selectors.invoices(actor=stranger)) == []
    assert list(selectors.usage(actor=stranger)) == []
    assert list(selectors.ledger(actor=stranger)) == []
    with pytest.raises(NotFound):
        selectors.invoice(actor=stranger, ref=invoice.ref)


@settings(max_examples=examples(12, full_count=1000), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    uses=st.lists(
        st.tuples(
            st.integers(min_value=1, max_value=40 * 86400),
            st.integers(min_value=1, max_value=16),
            st.decimals(min_value=Decimal("0.000001"), max_value=Decimal("12.999999"), places=6),
            st.sampled_from(["pool-1", "pool-2"]),
        ),
        min_size=1,
        max_size=6,
    ),
    credit=st.integers(min_value=1, max_value=2_000_000),
)
def test_lines_ledger_and_invoice_agree_to_the_cent(seller, now, uses, credit):
    """I7: lines = ledger = invoice, revenue arrives at the pools undivided, and no cent is made or lost."""
    with transaction.atomic():
        tenant = make_tenant()
        services.grant_credit(tenant=tenant, amount=eur(Decimal(credit) / 100), reason="x", actor=OPERATOR)
        expected = Decimal(0)
        by_pool = {"pool-1": Decimal(0), "pool-2": Decimal(0)}
        for seconds, gpus, rate, pool in uses:
            price = make_price(str(rate))
            use(
                tenant, price, from_at=START, until_at=START + timedelta(seconds=seconds),
                nodes=[subject(gpu_count=gpus, pool=pool)],
            )  # fmt: skip
            amount = rated(seconds=seconds, gpu_count=gpus, rate=rate)
            expected += amount
            by_pool[pool] += amount
        invoice = services.issue_invoice(invoice=_draft(tenant, now), actor=OPERATOR)
        lines = invoice.lines.aggregate(net=Sum("net"))["net"]
        usage = UsageInterval.objects.filter(tenant=tenant).aggregate(net=Sum("net_amount"))["net"]
        assert lines == usage == invoice.net == expected
        assert invoice.tax == tax_on(net=expected, percent=Decimal(21))
        assert invoice.gross == invoice.net + invoice.tax
        posted = LedgerEntry.objects.filter(transaction__tenant=tenant)
        for pool, amount in by_pool.items():
            revenue = posted.filter(account__kind=AccountKind.REVENUE, account__pool_code=pool)
            assert (revenue.aggregate(total=Sum("amount"))["total"] or 0) == -amount
        assert (posted.filter(account__kind=AccountKind.TAX).aggregate(t=Sum("amount"))["t"] or 0) == -invoice.tax
        money = selectors.balance(tenant_id=tenant.pk)
        assert money.accrued == 0
        assert Decimal(credit) / 100 - money.prepaid + money.receivable == invoice.gross
        assert posted.aggregate(total=Sum("amount"))["total"] == 0
        assert (invoice.state == InvoiceState.PAID) == (money.receivable == 0)
        connection.check_constraints()
        transaction.set_rollback(True)


@pytest.mark.django_db(transaction=True)
def test_numbers_are_gapless_when_many_issue_at_once_and_some_fail(tenant, price, now):
    tenants = [tenant, make_tenant(), make_tenant()]
    drafts = []
    for number in range(12):
        buyer = tenants[number % 3]
        ref = use(buyer, price, from_at=START, until_at=START + timedelta(minutes=1), nodes=[subject()])
        drafts.append(_draft(buyer, now, ref))
    gate, faults = threading.Barrier(12), []

    def issue(draft, *, fails):
        try:
            gate.wait()
            with transaction.atomic():
                services.issue_invoice(invoice=draft, actor=OPERATOR)
                if fails:
                    transaction.set_rollback(True)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must show it
            faults.append(error)
        finally:
            connection.close()

    threads = [
        threading.Thread(target=issue, args=(draft,), kwargs={"fails": number % 4 == 0})
        for number, draft in enumerate(drafts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    numbers = Invoice.objects.filter(number__isnull=False).order_by("sequence").values_list("sequence", flat=True)
    assert list(numbers) == list(range(1, 10))


@pytest.mark.django_db(transaction=True)
def test_first_uses_of_an_account_at_once_make_one_account(tenant):
    from billing.services.ledger import account

    gate, made = threading.Barrier(6), []

    def touch():
        try:
            gate.wait()
            made.append(account(kind=AccountKind.REVENUE, currency="EUR", pool_code="new-pool").pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=touch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 6
    assert set(made) == {LedgerAccount.objects.get(pool_code="new-pool").pk}
