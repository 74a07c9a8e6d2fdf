"""Usage objects that cannot be true are refused, so that the tokens are counted here instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmctl.core.model import Usage
from llmctl.providers.usage import from_anthropic, from_gemini, from_openai, served

Reader = Callable[[object], Usage | None]


@pytest.mark.parametrize("read", [from_openai, from_anthropic, from_gemini])
@pytest.mark.parametrize("usage", [None, [], "12", 12, {}])
def test_no_usage_is_none(read: Reader, usage: object) -> None:
    """Zeros invented for a missing usage would make the call free."""
    assert read(usage) is None


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -1, "completion_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": -5},
        {"prompt_tokens": 5.0, "completion_tokens": 5},
        {"prompt_tokens": "5", "completion_tokens": 5},
        {"prompt_tokens": True, "completion_tokens": 5},
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": 100_000_001, "completion_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": 10**12},
        {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 6}},
        {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": -6}},
        {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": [1]},
        {"prompt_tokens": 5, "completion_tokens": 5, "prompt_cache_hit_tokens": 6},
        {"prompt_tokens": 5, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 6}},
        {
            "prompt_tokens": 9,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 5},
        },
    ],
)
def test_an_untrue_openai_usage_is_refused(usage: dict[str, Any]) -> None:
    """A negative count would pay money back into a budget, a huge one would empty it."""
    assert from_openai(usage) is None


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": -1, "output_tokens": 1},
        {"input_tokens": 1, "output_tokens": 1, "cache_read_input_tokens": 1.5},
        {"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 9}},
        {"input_tokens": 1, "output_tokens": 1, "cache_creation": 9},
        {"input_tokens": 60_000_000, "output_tokens": 1, "cache_read_input_tokens": 60_000_000},
    ],
)
def test_an_untrue_anthropic_usage_is_refused(usage: dict[str, Any]) -> None:
    """The same for Anthropic's names."""
    assert from_anthropic(usage) is None


@pytest.mark.parametrize(
    "usage",
    [
        {"promptTokenCount": 5, "candidatesTokenCount": -1},
        {"promptTokenCount": 5, "cachedContentTokenCount": 6},
        {"promptTokenCount": 5, "promptTokensDetails": {"modality": "TEXT"}},
        {"promptTokenCount": 5, "promptTokensDetails": ["TEXT"]},
    ],
)
def test_an_untrue_gemini_usage_is_refused(usage: dict[str, Any]) -> None:
    """The same for Gemini's names."""
    assert from_gemini(usage) is None


def test_cached_tokens_are_part_of_the_input_everywhere() -> None:
    """Anthropic counts them apart and Gemini within; ours must mean one thing."""
    ours = Usage(input_tokens=100, output_tokens=7, cached_tokens=60)
    details = {"cached_tokens": 60}
    assert (
        from_openai({"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": details}) == ours
    )
    assert from_anthropic({"input_tokens": 40, "output_tokens": 7, "cache_read_input_tokens": 60}) == ours
    gemini = {"promptTokenCount": 100, "candidatesTokenCount": 7, "cachedContentTokenCount": 60}
    assert from_gemini(gemini) == ours


def test_a_broken_later_part_of_a_stream_counts() -> None:
    """A stream's usage is one; a delta that is no object makes all of it doubtful."""
    start = {"input_tokens": 5, "output_tokens": 1}
    assert from_anthropic(start, {"output_tokens": 9}, {"output_tokens": None}) == Usage(5, 9)
    assert from_anthropic(start, "nine") is None


@pytest.mark.parametrize(
    ("told", "asked", "service"),
    [
        (None, None, None),
        ("default", "priority", None),
        ("priority", None, "priority"),
        ("Flex", "flex", "flex"),
        (None, "priority", "priority"),
        (None, "auto", None),
        ("ON_DEMAND", None, None),
        ("ON_DEMAND_PRIORITY", None, "priority"),
        (7, None, None),
    ],
)
def test_the_tier_is_the_one_told_else_the_one_asked_for(
    told: object, asked: object, service: str | None
) -> None:
    """What was asked for may be refused, and what nobody names has to be billed all the same."""
    assert served(Usage(5, 1), told, asked).service == service
