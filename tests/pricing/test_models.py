"""Models filtered, sorted and priced as lists show them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from llmctl.core.errors import UsageError
from llmctl.pricing.cost import OffPeak, Price, Rates, Step, Window
from llmctl.pricing.models import Model, Sort, Wanted, needed, ordered, rates


def model(name: str, usd_in: float | None, context: int | None, *abilities: str) -> Model:
    price = None if usd_in is None else Price((Step(0, Rates(Decimal(str(usd_in)) * 1000, Decimal(2000))),))
    return Model(name, context, 4000, price, frozenset(abilities))


SMALL = model("openai/small", 0.5, 8_000)
LARGE = model("openai/large", 3, 200_000, "vision", "function_calling")
OTHER = model("mistral/large", None, None, "vision")
ALL = [LARGE, OTHER, SMALL]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Wanted(), {"openai/small", "openai/large", "mistral/large"}),
        (Wanted(text="LARGE"), {"openai/large", "mistral/large"}),
        (Wanted(provider="openai"), {"openai/small", "openai/large"}),
        (Wanted(abilities=needed(["vision", "tools"])), {"openai/large"}),
        (Wanted(max_input=1), {"openai/small"}),
        (Wanted(context=8_000), {"openai/small", "openai/large"}),
    ],
)
def test_filters(wanted: Wanted, names: set[str]) -> None:
    """What is unknown passes no filter: an unknown price is not a low one."""
    assert {each.name for each in ALL if wanted.fits(each)} == names


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("name", ["mistral/large", "openai/large", "openai/small"]),
        ("price", ["openai/small", "openai/large", "mistral/large"]),
        ("context", ["openai/large", "openai/small", "mistral/large"]),
    ],
)
def test_orders(by: Sort, names: list[str]) -> None:
    """The cheapest and the longest first; the unknown last."""
    assert [each.name for each in ordered(ALL, by)] == names


def test_an_unknown_ability_is_refused() -> None:
    """An empty list would look like an answer."""
    with pytest.raises(UsageError, match="flying"):
        Wanted(abilities=needed(["flying"]))


def test_every_price_is_listed_with_when_it_holds() -> None:
    """Long requests, service tiers and cheap hours have prices of their own."""
    base, dear = Rates(Decimal(1000), Decimal(2000)), Rates(Decimal(3000), Decimal(4000), Decimal(125))
    night = OffPeak((Window(frozenset(range(1, 8)), 0, 60),), base)
    price = Price((Step(0, base), Step(200_000, dear)), {"flex": (Step(0, base),)}, off_peak=night)
    told = {(rate.when, rate.kind): rate.usd for rate in rates(price)}
    assert told["usual", "input"] == 1.0
    assert told["over 200,000 tokens", "cached input"] == 0.125
    assert ("flex", "output") in told
    assert ("off-peak", "output") in told
    assert ("usual", "cached input") not in told
