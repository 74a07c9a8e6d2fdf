"""The most that an attempt can cost has to be more than any bill for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmctl.core.errors import BudgetError
from llmctl.core.model import Request, Target, Usage, replace
from llmctl.core.profile import PriceRule
from llmctl.pricing.book import PriceBook
from llmctl.pricing.cost import cost
from llmctl.pricing.reservation import Reservations, choices, has_media, output_limit, reservation, terms
from llmctl.pricing.tokens import BOUND_IMAGE, count, upper_bound

MINE = PriceRule(input=1.0, output=1000.0)
TOKEN_IN, TOKEN_OUT = 1000, 1_000_000
"""Nano-dollars, by that rule."""


@pytest.fixture
def book(tmp_path: Path) -> PriceBook:
    """The shipped prices, and one model of our own."""
    return PriceBook(tmp_path, {"openai/mine": MINE})


def ask(model: str = "openai/mine", prompt: Any = "hello", **params: Any) -> Request:
    target = Target("m", model, model.partition("/")[0])
    return Request(target, ({"role": "user", "content": prompt},), params)


def test_input_is_bounded_by_bytes_and_output_by_the_limit(book: PriceBook) -> None:
    """The formula, by hand."""
    request = ask(max_tokens=100)
    expected = upper_bound(request.messages) * TOKEN_IN + 100 * TOKEN_OUT
    assert reservation(request, book) == expected


@pytest.mark.parametrize("prompt", ["a", "hello " * 2000, "¿Qué? 日本語 🦀" * 50, "\n\n\t{}[];" * 300])
@pytest.mark.parametrize("model", ["openai/gpt-4o-mini", "openai/gpt-4.1", "gemini/gemini-2.5-pro"])
def test_no_bill_is_larger(book: PriceBook, model: str, prompt: str) -> None:
    """The answer at its longest, all of it reasoning, and the whole input written to the cache."""
    request = ask(model, prompt, max_tokens=500)
    tokens = count(request.messages, model).tokens
    price = book.price(model)
    assert price is not None
    for written in (0, tokens):
        usage = Usage(tokens, 500, reasoning_tokens=500, cache_write_tokens=written)
        assert cost(price, usage) <= reservation(request, book)


def test_what_goes_along_is_counted(book: PriceBook) -> None:
    """Tools and schemas are input too."""
    plain = reservation(ask(max_tokens=1), book)
    tools = [{"type": "function", "function": {"name": "f", "description": "x" * 1000}}]
    assert reservation(ask(max_tokens=1, tools=tools), book) > plain + 1000 * TOKEN_IN


def test_several_answers_cost_several_times(book: PriceBook) -> None:
    """`n` is a multiplier of the dear part."""
    one, three = (reservation(ask(max_tokens=10, n=n), book) for n in (1, 3))
    assert three - one == 20 * TOKEN_OUT
    assert choices({"n": "many"}) == choices({"n": -1}) == choices({}) == 1


def test_either_limit_counts_and_of_two_the_larger(book: PriceBook) -> None:
    """Which of the two a model obeys is its own affair."""
    assert output_limit(ask(max_completion_tokens=7), book) == 7
    assert output_limit(ask(max_tokens=5, max_completion_tokens=7), book) == 7


@pytest.mark.parametrize("limit", [None, "100", -5, 0, True, 1.5])
def test_without_a_usable_limit_the_models_own_counts(book: PriceBook, limit: Any) -> None:
    """The price file knows what the model can write at most."""
    assert output_limit(ask("openai/gpt-4o-mini", max_tokens=limit), book) == 16_384


def test_a_limit_that_may_be_dropped_on_the_way_is_none(book: PriceBook) -> None:
    """A default that the provider does not take never reaches it."""
    target = Target("m", "openai/gpt-4o-mini", "openai")
    request = Request(target, (), {"max_tokens": 10}, defaults=frozenset({"max_tokens"}))
    assert output_limit(request, book) == 10
    assert output_limit(request, book, sent_as_is=False) == 16_384
    assert output_limit(ask("openai/gpt-4o-mini", max_tokens=10), book, sent_as_is=False) == 10


def test_no_limit_at_all_is_refused(book: PriceBook) -> None:
    """There is no most to set aside."""
    with pytest.raises(BudgetError, match="nothing limits") as caught:
        reservation(ask(), book)
    assert "max_tokens" in caught.value.hint


def test_an_unknown_price_is_refused_with_the_cure(book: PriceBook) -> None:
    """Unknown is not free."""
    with pytest.raises(BudgetError, match="openai/made-up: its price is unknown") as caught:
        reservation(ask("openai/made-up", max_tokens=1), book)
    assert "prices: {openai/made-up: {input:" in caught.value.hint


def test_a_free_model_needs_nothing(book: PriceBook) -> None:
    """Not even a limit of its answer."""
    assert reservation(ask("local/smollm2"), book) == 0


def test_answers_that_may_be_spoken_are_reserved_as_such(book: PriceBook) -> None:
    """Their rates are higher than those of text."""
    spoken, written = (
        terms(ask(modalities=asked, max_tokens=1), book, True) for asked in (["text", "audio"], ["text"])
    )
    assert spoken is not None
    assert written is not None
    assert (spoken.media, written.media) == (True, False)


def test_what_rows_have_in_common_is_worked_out_once_and_no_longer(book: PriceBook) -> None:
    """Other parameters, another model: each reservation is the one that a request alone would get."""
    reservations = Reservations(book, lambda provider: True)
    asks = [ask(max_tokens=5), ask(max_tokens=500), ask("local/smollm2"), ask(max_tokens=5, n=3)]
    for each in (*asks, *asks):
        assert reservations(each) == reservation(each, book)
        assert reservations(replace(each, messages=(*each.messages, *each.messages))) >= reservation(
            each, book
        )


def test_images_are_bounded_and_seen_as_media(book: PriceBook) -> None:
    """They may have rates of their own."""
    image = [{"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}]
    assert has_media(ask(prompt=image).messages)
    assert not has_media(ask(prompt=[{"type": "text", "text": "x"}]).messages)
    assert reservation(ask(prompt=image, max_tokens=1), book) > BOUND_IMAGE * TOKEN_IN


def test_the_dearer_service_is_reserved_for_where_it_is_asked_for(book: PriceBook) -> None:
    """Priority costs more than what it is compared with."""
    plain, priority = (
        reservation(ask("openai/gpt-4.1", max_tokens=100, service_tier=tier), book)
        for tier in ("default", "priority")
    )
    assert priority > plain


def test_a_cheaper_service_may_be_refused(book: PriceBook) -> None:
    """Flex asked for and the standard tier served: what is set aside has to cover it."""
    plain, flex = (
        reservation(ask("openai/gpt-5-nano", max_tokens=100, service_tier=tier), book)
        for tier in ("default", "flex")
    )
    assert flex == plain
