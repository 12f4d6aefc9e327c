from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from django.db import connection
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from billing.rating import rated, tax_on
from tests.campaigns import examples

SECONDS = st.integers(min_value=0, max_value=10 * 366 * 86400)
GPUS = st.integers(min_value=1, max_value=512)
RATES = st.decimals(min_value=Decimal("0.000001"), max_value=Decimal("9999.999999"), places=6)


def exactly_rounded(exact: Fraction) -> Decimal:
    """Half up to the cent, by whole numbers alone."""
    return Decimal((exact * 100 + Fraction(1, 2)).__floor__()) / 100


@given(SECONDS, GPUS, RATES)
@example(1, 1, Decimal("18.000000"))  # exactly half a cent
@example(1, 1, Decimal("17.999999"))  # a hair below
def test_an_amount_is_the_exact_product_rounded_once_half_up(seconds, gpu_count, rate):
    exact = Fraction(seconds) * gpu_count * Fraction(rate) / 3600
    assert rated(seconds=seconds, gpu_count=gpu_count, rate=rate) == exactly_rounded(exact)


@pytest.mark.django_db
@settings(max_examples=examples(200, full_count=20_000), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SECONDS, GPUS, RATES)
@example(1, 1, Decimal("18.000000"))
@example(1, 1, Decimal("17.999999"))
@example(316_224_000, 512, Decimal("9999.999999"))
def test_the_database_and_python_rate_alike(db, seconds, gpu_count, rate):
    with connection.cursor() as cursor:
        cursor.execute("SELECT chapek_rated(%s, %s, %s)", [seconds, gpu_count, rate])
        assert cursor.fetchone()[0] == rated(seconds=seconds, gpu_count=gpu_count, rate=rate)


@given(st.decimals(min_value=0, max_value=10**9, places=2), st.sampled_from(["0.00", "19.00", "21.00", "25.50"]))
def test_tax_is_rounded_half_up_to_the_cent(net, percent):
    exact = Fraction(net) * Fraction(percent) / 100
    assert tax_on(net=net, percent=Decimal(percent)) == exactly_rounded(exact)
    assert tax_on(net=net, percent=Decimal(percent)) == (net * Decimal(percent) / 100).quantize(
        Decimal("0.01"), rounding=ROUND_HALF_UP
    )
