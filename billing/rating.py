"""Seconds into money, exactly: the same rule as ``chapek_rated`` in the database (a test holds them together)."""

from decimal import ROUND_HALF_UP, Context, Decimal

from common.money import CENT

SECONDS_PER_HOUR = 3600
_EXACT = Context(prec=60, rounding=ROUND_HALF_UP)


def rated(*, seconds: int, gpu_count: int, rate: Decimal) -> Decimal:
    """``seconds`` of ``gpu_count`` GPUs at ``rate`` per GPU-hour, rounded once, half up, to the cent."""
    product = _EXACT.multiply(_EXACT.multiply(Decimal(seconds), Decimal(gpu_count)), rate)
    # Numerator and denominator are doubled so that "plus one half" stays whole: nothing is rounded twice.
    halves = _EXACT.add(_EXACT.multiply(product, Decimal(200)), Decimal(SECONDS_PER_HOUR))
    return _EXACT.multiply(_EXACT.divide_int(halves, Decimal(2 * SECONDS_PER_HOUR)), CENT)


def tax_on(*, net: Decimal, percent: Decimal) -> Decimal:
    """Tax of a taxable amount, half up to the cent (EN 16931 BR-CO-17 computes it per category and rate)."""
    return _EXACT.divide(_EXACT.multiply(net, percent), Decimal(100)).quantize(CENT, rounding=ROUND_HALF_UP)


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)
