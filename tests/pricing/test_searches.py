"""Searches of the web are billed besides the tokens: budgets have to know of them, or refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmctl.core.errors import BudgetError
from llmctl.core.model import Request, Target, Usage
from llmctl.core.profile import PriceRule
from llmctl.pricing.book import PriceBook
from llmctl.pricing.cost import cost
from llmctl.pricing.reservation import reservation
from llmctl.providers.usage import from_anthropic

CLAUDE = "anthropic/claude-sonnet-4-5"
LIMITED = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
OURS = [
    {"type": "function", "function": {"name": "web_search"}},
    {"name": "f", "input_schema": {}},
    {"type": "bash_20250124", "name": "bash"},
]


@pytest.fixture
def book(tmp_path: Path) -> PriceBook:
    """The shipped prices, and one of our own."""
    return PriceBook(tmp_path, {"openai/mine": PriceRule(input=1.0, output=1.0)})


def ask(model: str, **params: Any) -> Request:
    target = Target("m", model, model.partition("/")[0])
    return Request(target, ({"role": "user", "content": "news"},), {"max_tokens": 100, **params})


@pytest.mark.parametrize(
    ("model", "cents"),
    [
        ("openai/gpt-4o-search-preview", 2.5),
        ("openai/gpt-4o-mini-search-preview-2025-03-11", 2.5),
        ("openai/gpt-5-search-api", 1),
        ("perplexity/sonar", 0.5),
    ],
)
def test_a_model_that_always_searches_costs_its_fee(book: PriceBook, model: str, cents: float) -> None:
    """It is most of the bill: at the tokens' price alone a budget was overspent 25 to 400 times."""
    usage = Usage(10, 100)
    paid = book.cost(model, model, usage, 0.0)
    assert paid is not None
    assert cents * 10_000_000 < paid <= reservation(ask(model), book)


def test_what_is_found_may_be_input(book: PriceBook) -> None:
    """The fee is not all: these models are billed for reading what they found."""
    price = book.price("openai/gpt-5-search-api")
    assert price is not None
    found = cost(price, Usage(200_000, 100))
    assert found <= reservation(ask("openai/gpt-5-search-api", web_search_options={}), book)


@pytest.mark.parametrize(
    "params",
    [
        {"web_search_options": {}},
        {"search_parameters": {"mode": "on"}},
        {"tools": [{"type": "web_search_preview"}]},
        {"tools": [{"googleSearch": {}}]},
        {"tools": [{**LIMITED, "max_uses": None}]},
        {"tools": [*OURS, {"type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 1}]},
        {"extra_body": {"tools": [{"type": "web_search_20250305"}]}},
    ],
)
@pytest.mark.parametrize("model", [CLAUDE, "gemini/gemini-2.5-flash", "openai/gpt-4.1", "openai/mine"])
def test_searches_without_a_limit_are_refused(book: PriceBook, model: str, params: dict[str, Any]) -> None:
    """There is no most to set aside for as many searches as the model likes."""
    with pytest.raises(BudgetError, match="nothing limits"):
        reservation(ask(model, **params), book)


@pytest.mark.parametrize("model", ["perplexity/sonar-deep-research", "openai/o4-mini-deep-research"])
def test_research_is_refused(book: PriceBook, model: str) -> None:
    """Such a model makes dozens of searches for one request."""
    with pytest.raises(BudgetError, match="searches"):
        reservation(ask(model), book)


def test_limited_searches_are_reserved_and_booked(book: PriceBook) -> None:
    """Two cents for two searches, and each time as much to read as the model can."""
    plain, searching = (reservation(ask(CLAUDE, tools=tools), book) for tools in ([], [LIMITED]))
    assert searching - plain > 2 * 10_000_000
    told = {"input_tokens": 300_000, "output_tokens": 100, "server_tool_use": {"web_search_requests": 2}}
    usage, price = from_anthropic(told), book.price(CLAUDE)
    assert usage is not None
    assert price is not None
    assert cost(price, usage) - cost(price, usage._replace(searches=0)) == 2 * 10_000_000
    assert cost(price, usage) <= searching


def test_tools_of_ones_own_cost_no_fee(book: PriceBook) -> None:
    """They run here, and what they say goes in with the next request."""
    assert reservation(ask(CLAUDE, tools=OURS), book) < 20_000_000
