"""The cheapest candidate that can do the task, and the reason for every other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmctl.core.errors import BudgetError, ConfigError, ContextTooLong
from llmctl.core.profile import ModelRule, PriceRule
from llmctl.pricing.book import PriceBook
from llmctl.pricing.choose import Candidate, Choice, Task, pick
from llmctl.pricing.complexity import Complexity

SMALL = Candidate("small", "openai/small")
MIDDLE = Candidate("middle", "openai/middle")
LARGE = Candidate("large", "openai/large")
UNPRICED = Candidate("mine", "hosted_vllm/mine")
LOCAL = Candidate("here", "local/embedded")
ALL = (LARGE, MIDDLE, SMALL)


def _entry(usd_in: float, usd_out: float, context: int, *able: str) -> dict[str, Any]:
    return {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": usd_in / 1e6,
        "output_cost_per_token": usd_out / 1e6,
        "max_input_tokens": context,
        "max_output_tokens": 8000,
    } | {f"supports_{ability}": True for ability in able}


@pytest.fixture
def book(tmp_path: Path) -> PriceBook:
    source = tmp_path / "map.json"
    entries = {
        "small": _entry(0.1, 0.4, 16_000),
        "middle": _entry(0.5, 2.0, 128_000, "vision", "response_schema"),
        "large": _entry(3.0, 15.0, 1_000_000, "vision", "response_schema", "function_calling"),
    }
    source.write_text(json.dumps(entries))
    return PriceBook(tmp_path, {"openai/declared": PriceRule(input=0.01, output=0.02)}, source)


def _names(choice: Choice) -> dict[str, str | None]:
    return {verdict.candidate.name: verdict.why for verdict in choice.verdicts}


def _task(complexity: Complexity = "simple", **more: Any) -> Task:
    return Task(complexity, more.pop("input_tokens", 1000), more.pop("output_tokens", 500), **more)


@pytest.mark.parametrize(("level", "name"), [("simple", "small"), ("normal", "middle"), ("complex", "large")])
def test_the_cheapest_that_fits_the_complexity(book: PriceBook, level: Complexity, name: str) -> None:
    """Cheap work for cheap models: that is where the money is saved."""
    choice = pick(ALL, _task(level), book)
    assert choice.require().candidate.name == name


def test_the_reasons_name_what_was_refused(book: PriceBook) -> None:
    """`models pick` shows why not the cheaper one."""
    choice = pick((*ALL, UNPRICED), _task("complex", needs=frozenset({"tools"}), budget=10**9), book)
    assert _names(choice) == {"large": None, "middle": "ability", "small": "ability", "mine": "price"}
    assert choice.verdicts[1].refused == "lacks function_calling"
    assert choice.require().cost == 1000 * 3000 + 500 * 15000


def test_the_context_counts(book: PriceBook) -> None:
    """A prompt that does not fit is refused by the provider after it was sent."""
    choice = pick(ALL, _task(input_tokens=20_000), book)
    assert (_names(choice)["small"], choice.require().candidate.name) == ("context", "middle")
    with pytest.raises(ContextTooLong, match="small: takes 16,000 tokens"):
        pick((SMALL,), _task(input_tokens=20_000), book).require()
    with pytest.raises(ContextTooLong, match="answers at most 8,000"):
        pick((SMALL,), _task(output_tokens=9_000), book).require()


def test_the_budget_refuses_what_may_pass_it(book: PriceBook) -> None:
    """The most it can cost must fit, not what it probably costs."""
    cheap = pick((SMALL,), _task(), book).require()
    assert cheap.most is not None
    assert pick((SMALL,), _task(budget=cheap.most), book).chosen is not None
    with pytest.raises(BudgetError, match=r"small: may cost \$0\.000300"):
        pick((SMALL,), _task(budget=cheap.most - 1), book).require()
    with pytest.raises(BudgetError, match="declare it under prices"):
        pick((UNPRICED,), _task(budget=10**12), book).require()


def test_an_unknown_price_comes_last_without_a_budget(book: PriceBook) -> None:
    """It may be the dearest of all; where it is the only one, nothing forbids it."""
    assert pick((UNPRICED, LARGE), _task(), book).require().candidate == LARGE
    assert pick((UNPRICED,), _task(), book).require().candidate == UNPRICED


def test_a_free_model_is_the_cheapest_for_what_it_fits(book: PriceBook) -> None:
    """The embedded model takes simple and normal work, and complex work never unless told to."""
    assert pick((*ALL, LOCAL), _task("normal"), book).require().candidate == LOCAL
    assert pick((*ALL, LOCAL), _task("complex"), book).require().candidate == LARGE
    able = Candidate("here", "local/embedded", "complex")
    assert pick((*ALL, able), _task("complex"), book).require().candidate == able


def test_the_profile_may_say_what_a_model_fits(book: PriceBook) -> None:
    """A price is only a hint of what a model can do; the one who knows it decides."""
    able = Candidate("small", "openai/small", "complex")
    assert pick((LARGE, able), _task("complex"), book).require().candidate == able
    modest = Candidate("large", "openai/large", "simple")
    with pytest.raises(ConfigError, match="large: fits simple tasks, this one is complex"):
        pick((modest,), _task("complex"), book).require()
    assert ModelRule("openai/small").fits == "auto"


def test_a_guessed_complexity_prefers_but_does_not_refuse(book: PriceBook) -> None:
    """A rule of thumb must not stop the work; what is impossible or too dear still does."""
    choice = pick((SMALL, MIDDLE), _task("complex", judged=True), book)
    assert choice.require().candidate == MIDDLE
    assert pick((SMALL, MIDDLE), _task("complex"), book).chosen is None
    with pytest.raises(BudgetError):
        pick((SMALL, MIDDLE), _task("complex", judged=True, budget=1), book).require()


def test_equal_candidates_keep_the_profiles_order(book: PriceBook) -> None:
    """The same input must always choose the same model, or caches miss."""
    first, second = Candidate("a", "openai/small"), Candidate("b", "openai/small")
    assert pick((second, first), _task(), book).require().candidate == second


def test_no_candidates_say_what_to_do(book: PriceBook) -> None:
    """`-m auto` in a profile without candidates."""
    with pytest.raises(ConfigError) as caught:
        pick((), _task(), book).require()
    assert "candidates" in caught.value.hint
