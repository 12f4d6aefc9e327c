from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from billing import demo, selectors, services
from billing.errors import NoPrice, SellerMissing, TaxRateMissing
from billing.models import LegalEntity, Price, TaxRate, TaxTreatment
from billing.services.pricing import Estimate
from billing.tax import rate_on
from common.clock import database_now
from common.errors import Conflict, InvalidRequest
from compliance.audit.models import AuditEvent
from tests.billing.world import OPERATOR, make_price, make_seller, make_tenant, run_sql, utc

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE billing_price SET rate = rate + 1",
        "UPDATE billing_price SET valid_from_at = valid_from_at + interval '1 second'",
        "UPDATE billing_price SET valid_until_at = chapek_now() - interval '1 second'",
        "DELETE FROM billing_price",
    ],
)
def test_a_started_price_is_never_edited_nor_ended_in_the_past(price, change):
    with pytest.raises(IntegrityError):
        run_sql(change)


def test_a_started_price_can_be_ended_and_followed_without_a_gap(price):
    at = database_now() + timedelta(days=1)
    services.end_price(price=price, at=at, actor=OPERATOR)
    following = services.add_price(
        site=price.site, node_type=price.node_type, rate=Decimal("3.10"), valid_from_at=at, actor=OPERATOR
    )
    pair = {"site_id": price.site_id, "node_type_id": price.node_type_id}
    assert selectors.price_at(**pair, at=at - timedelta(seconds=1)) == price
    assert selectors.price_at(**pair, at=at) == following
    kinds = set(AuditEvent.objects.filter(log_tenant_id=None).values_list("kind", flat=True))
    assert {"price.added", "price.ended"} <= kinds


def test_an_ended_price_stays_ended(price):
    services.end_price(price=price, at=database_now(), actor=OPERATOR)
    with pytest.raises(Conflict):
        services.end_price(price=price, at=database_now() + timedelta(days=1), actor=OPERATOR)


def test_a_price_that_has_not_started_can_be_edited_and_dropped(price):
    later = make_price(valid_from_at=database_now() + timedelta(days=1))
    later.rate = Decimal("9.99")
    later.save()
    later.delete()
    assert list(Price.objects.all()) == [price]


def test_two_prices_are_never_in_force_at_once(price):
    with pytest.raises(Conflict):
        services.add_price(site=price.site, node_type=price.node_type, rate=Decimal(1), actor=OPERATOR)
    assert Price.objects.count() == 1


def test_a_price_neither_starts_nor_ends_in_the_past(price):
    past = database_now() - timedelta(seconds=1)
    with pytest.raises(InvalidRequest):
        services.end_price(price=price, at=past, actor=OPERATOR)
    with pytest.raises(InvalidRequest):
        services.add_price(
            site=price.site, node_type=price.node_type, rate=Decimal(1), valid_from_at=past, actor=OPERATOR
        )


def test_the_price_list_is_one_query_and_shows_what_is_in_force(price, django_assert_num_queries, now):
    make_price(valid_from_at=now + timedelta(days=1))
    make_price(valid_until_at=now)
    with django_assert_num_queries(1):
        (row,) = selectors.price_list(at=now)
    assert (row.price_ref, row.eur_per_gpu_hour) == (price.ref, Decimal("2.900000"))


def test_no_price_is_said_so(price):
    with pytest.raises(NoPrice):
        selectors.price_at(site_id=price.site_id, node_type_id=price.node_type_id, at=utc(2019, 1, 1))


def _estimate(tenant, price, **changes):
    asked = {"gpu_count": 8, "node_count": 3, "start_at": utc(2026, 5, 1), "end_at": utc(2026, 5, 1, 0, 1, 1)}
    return services.estimate(tenant=tenant, price=price, **{**asked, **changes})


def test_an_estimate_is_rounded_per_node_as_the_invoice_will_be(tenant, price):
    made = _estimate(tenant, price)
    assert (made.hourly_net, made.tax_hourly, made.hourly_gross) == (
        Decimal("69.60"),
        Decimal("14.62"),
        Decimal("84.22"),
    )
    assert (made.total_net, made.total_tax, made.total_gross) == (Decimal("1.17"), Decimal("0.25"), Decimal("1.42"))
    record = made.as_record()
    assert services.hourly_gross(estimate=record) == services.hourly_gross(estimate=made) == Decimal("84.22")


def test_without_an_end_there_is_no_total(tenant, price):
    made = _estimate(tenant, price, end_at=None)
    assert isinstance(made, Estimate)
    assert (made.total_net, made.total_tax, made.total_gross, made.seconds) == (None, None, None, None)


def test_a_visitor_sees_the_domestic_tax(seller, price):
    assert _estimate(None, price).tax_rate == Decimal("21.00")


@pytest.mark.parametrize(
    ("facts", "treatment", "percent"),
    [
        ({"country": "CZ"}, TaxTreatment.DOMESTIC, "21.00"),
        ({"country": "CZ", "vat_id": "CZ1", "vat_id_state": "verified"}, TaxTreatment.DOMESTIC, "21.00"),
        ({"country": "DE", "vat_id": "DE1", "vat_id_state": "verified"}, TaxTreatment.REVERSE_CHARGE, "0.00"),
        ({"country": "DE", "vat_id": "DE1", "vat_id_state": "unverified"}, TaxTreatment.DOMESTIC, "21.00"),
        ({"country": "DE"}, TaxTreatment.DOMESTIC, "21.00"),
        ({"country": "DE", "is_business": False}, TaxTreatment.DOMESTIC, "21.00"),
        ({"country": "US"}, TaxTreatment.OUTSIDE_SCOPE, "0.00"),
        ({"country": "GB", "vat_id": "GB1", "vat_id_state": "verified"}, TaxTreatment.OUTSIDE_SCOPE, "0.00"),
    ],
)
def test_tax_follows_the_buyer(seller, price, facts, treatment, percent):
    snapshot = services.freeze_price(tenant=make_tenant(**facts), price=price)
    assert (snapshot.tax_treatment, snapshot.tax_percent) == (treatment, Decimal(percent))
    assert snapshot.tax_note


def test_a_consumer_abroad_pays_the_tax_of_their_country_when_the_seller_is_in_the_one_stop_shop(price):
    make_seller(is_oss_registered=True)
    snapshot = services.freeze_price(tenant=make_tenant(country="HU", is_business=False), price=price)
    assert (snapshot.tax_treatment, snapshot.tax_country, snapshot.tax_percent) == (
        TaxTreatment.EU_CONSUMER,
        "HU",
        Decimal("27.00"),
    )


def test_nothing_is_priced_without_a_seller_or_a_rate(price):
    with pytest.raises(SellerMissing):
        services.freeze_price(tenant=make_tenant(), price=price)
    make_seller()
    TaxRate.objects.all().delete()
    with pytest.raises(TaxRateMissing):
        services.freeze_price(tenant=make_tenant(), price=price)


def test_tax_rates_are_dated_and_load_once(seller):
    assert services.load_tax_rates() == 0
    assert rate_on(country="EE", on=utc(2025, 6, 30).date()) == Decimal("22.00")
    assert rate_on(country="EE", on=utc(2025, 7, 1).date()) == Decimal("24.00")
    assert TaxRate.objects.values("country").distinct().count() == 27
    with pytest.raises(IntegrityError, match="one_tax_rate_a_day"), transaction.atomic():
        TaxRate.objects.create(country="EE", percent=Decimal(9), valid_from_on="2026-01-01", source="nobody")


def test_the_demonstration_has_a_seller_and_can_be_made_twice(db):
    demo.ensure()
    demo.ensure()
    assert LegalEntity.objects.filter(is_default=True).count() == 1
