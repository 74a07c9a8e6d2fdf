"""Money as integer nano-dollars (1 USD = 1,000,000,000), so that sums are exact.

A call of 15 tokens to a small model costs some 4,500 of them; 63 bits hold nine billion dollars.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

NANO = 1_000_000_000
Nanos = int


def to_nanos(usd: float | str | Decimal) -> Nanos:
    """USD to nano-dollars, exact for up to 9 decimals. ValueError for NaN, infinity and non-numbers."""
    try:
        amount = Decimal(str(usd))
    except InvalidOperation as error:
        raise ValueError(f"not an amount of money: {usd!r}") from error
    if not amount.is_finite():
        raise ValueError(f"not a finite amount of money: {usd!r}")
    return int((amount * NANO).to_integral_value(ROUND_HALF_EVEN))


def to_usd(nanos: Nanos | None) -> float | None:
    """Nano-dollars to USD with at most 9 decimals, None (unknown) kept."""
    return None if nanos is None else nanos / NANO


def per_token(usd_per_token: float) -> Decimal:
    """A price of the price file (USD a token) as exact nano-dollars a token."""
    if not math.isfinite(usd_per_token):
        raise ValueError(f"not a price: {usd_per_token!r}")
    return Decimal(repr(usd_per_token)) * NANO


def show_usd(nanos: Nanos | None) -> str:
    """For people: `$1.23`, `$0.000450`, `?` where the price is unknown."""
    if nanos is None:
        return "?"
    usd = nanos / NANO
    sign = "-" if usd < 0 else ""
    usd = abs(usd)
    if usd >= 1 or nanos == 0:
        return f"{sign}${usd:,.2f}"
    return f"{sign}${usd:.6f}" if usd >= 0.000001 else f"{sign}${usd:.9f}"
