"""Costs to the nano-dollar: recorded usages of every provider against hand calculations."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmctl.core.model import Usage
from llmctl.core.profile import PriceRule
from llmctl.pricing.book import PriceBook
from llmctl.pricing.cost import FREE, Price, Rates, Step, cost, most
from llmctl.pricing.entry import read_entry, read_rule
from llmctl.providers.usage import from_anthropic, from_gemini, from_openai

HERE = Path(__file__).parent
CASES: list[dict[str, Any]] = json.loads((HERE / "usages.json").read_text())
READERS: dict[str, Callable[..., Usage | None]] = {
    "openai": from_openai,
    "anthropic": from_anthropic,
    "gemini": from_gemini,
}


def _priced(tmp_path: Path, case: dict[str, Any]) -> tuple[Price, Usage]:
    price = PriceBook(tmp_path, source=HERE / "prices.json").price(case["model"])
    usage = READERS[case["format"]](*case["usage"])
    assert price is not None
    assert usage is not None
    return price, usage


def test_there_are_sixty_usages_at_least() -> None:
    """The figure that is promised; a file cut by accident must not pass."""
    assert len(CASES) >= 60
    assert sum(bool(case.get("streamed")) for case in CASES) >= 7
    assert len({case["name"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_recorded_usage_costs_what_the_hand_calculation_says(tmp_path: Path, case: dict[str, Any]) -> None:
    """Reports and budgets are worth nothing if they differ from the bill; the sum is in `note`."""
    price, usage = _priced(tmp_path, case)
    paid = cost(price, usage, batch=case.get("batch", False), service=case.get("service"), at=case.get("at"))
    assert paid == case["nanos"], case["note"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_reservation_covers_every_recorded_usage(tmp_path: Path, case: dict[str, Any]) -> None:
    """A budget holds only if no call costs more than what was set aside for it."""
    price, usage = _priced(tmp_path, case)
    service = "batches" if case.get("batch") else case.get("service")
    reserved = most(price, usage.input_tokens, usage.output_tokens, media=True, service=service)
    assert reserved >= case["nanos"]


_tokens = st.integers(0, 400_000)


@given(
    model=st.sampled_from(sorted({case["model"] for case in CASES})),
    fresh=_tokens,
    cached=_tokens,
    written=_tokens,
    hour=_tokens,
    output=_tokens,
    spare=_tokens,
    service=st.sampled_from([None, "flex", "priority", "batches"]),
)
def test_no_usage_passes_its_reservation(
    model: str,
    fresh: int,
    cached: int,
    written: int,
    hour: int,
    output: int,
    spare: int,
    service: str | None,
) -> None:
    """Whatever the cache does and whichever threshold is passed, the bound is a bound."""
    entries = json.loads((HERE / "prices.json").read_text())
    price = read_entry(entries.get(model) or entries.get(model.partition("/")[2]) or entries["gpt-4o"])
    assert price is not None
    written = max(written, hour)
    usage = Usage(
        input_tokens=fresh + cached + written,
        output_tokens=output,
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=hour,
        reasoning_tokens=output // 2,
    )
    reserved = most(price, usage.input_tokens + spare, output, service=service)
    assert 0 <= cost(price, usage, service=service) <= reserved


def test_kinds_without_a_price_fall_back() -> None:
    """A model whose price list is short must still be billed for every token."""
    price = Price((Step(0, Rates(Decimal(10), Decimal(100))),))
    usage = Usage(
        input_tokens=10,
        output_tokens=5,
        cached_tokens=3,
        cache_write_tokens=4,
        cache_write_1h_tokens=1,
        reasoning_tokens=2,
    )
    assert cost(price, usage) == 10 * 10 + 5 * 100


def test_halves_are_rounded_to_even_once() -> None:
    """Rounding each part would drift by a nano-dollar a call, and halves up would drift in the sum."""
    half = Price((Step(0, Rates(Decimal("0.5"), Decimal("0.5"))),))
    assert [cost(half, Usage(input_tokens=n)) for n in (1, 2, 3, 5)] == [0, 1, 2, 2]
    assert cost(half, Usage(input_tokens=1, output_tokens=1)) == 1
    assert most(half, 1, 0) == 1


def test_parts_larger_than_the_whole_never_cost_twice() -> None:
    """Providers overlap cached and audio tokens; each token is billed once, at its first kind."""
    price = Price((Step(0, Rates(Decimal(10), Decimal(100), cached=Decimal(1), audio_in=Decimal(50))),))
    assert cost(price, Usage(input_tokens=10, cached_tokens=8, audio_input_tokens=10)) == 8 * 1 + 2 * 50


def test_a_declared_price_is_per_million() -> None:
    """`{input: 0.10}` in a profile is ten cents per million tokens, and 0 is a price."""
    price = read_rule(PriceRule(input=0.1, output=0.3, cached=0.0))
    assert price is not None
    assert (
        cost(price, Usage(input_tokens=1_000_000, output_tokens=1_000_000, cached_tokens=500_000))
        == 350_000_000
    )
    assert read_rule(PriceRule(input=0.1)) is None
    assert read_rule(PriceRule(output=0.1)) is None
    assert cost(FREE, Usage(10**6, 10**6)) == 0
    assert FREE.free


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-06},
        {"litellm_provider": "openai", "mode": "chat", "output_cost_per_token": 1e-06},
        {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 0, "output_cost_per_token": 0},
        {
            "litellm_provider": "azure",
            "mode": "chat",
            "input_cost_per_token": 1e-07,
            "output_cost_per_token": 0.0,
        },
        {
            "litellm_provider": "openai",
            "mode": "chat",
            "input_cost_per_token": "1e-6",
            "output_cost_per_token": 1e-6,
        },
        {
            "litellm_provider": "openai",
            "mode": "chat",
            "input_cost_per_token": -1e-6,
            "output_cost_per_token": 1e-6,
        },
        {
            "litellm_provider": "openai",
            "mode": "chat",
            "input_cost_per_token": float("nan"),
            "output_cost_per_token": 1e-6,
        },
        {"litellm_provider": "sagemaker", "mode": "chat", "input_cost_per_second": 0.0004},
    ],
)
def test_half_a_price_is_none(entry: dict[str, Any]) -> None:
    """What cannot be counted in tokens, or reads like a placeholder, must stop a call under a budget."""
    assert read_entry(entry) is None


def test_a_service_without_a_price_past_a_threshold_is_never_cheaper_than_known() -> None:
    """Gemini's batch price past 200k is not in the file: half of the short price would be too little."""
    entry = json.loads((HERE / "prices.json").read_text())["gemini/gemini-2.5-pro"]
    price = read_entry(entry)
    assert price is not None
    assert cost(price, Usage(input_tokens=200_001), batch=True) == 200_001 * 2500
