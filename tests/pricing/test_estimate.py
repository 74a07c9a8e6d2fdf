"""Low, expected and most of sums of requests, against sums done by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from llmctl.core.model import Usage
from llmctl.pricing.cost import OffPeak, Price, Rates, Step, Window, cost, least, most
from llmctl.pricing.estimate import RULE_TOKENS, Forecast, History, Question, Spread, Verdict, verdict

PRICE = Price((Step(0, Rates(Decimal(150), Decimal(600), cached=Decimal(75))),))
ASKED = Question(texts=80, tokens=100, chars=400, longest=1000)


def test_without_a_history_the_rule_holds() -> None:
    """The first estimate of all is a stated one: a token, 250 tokens, max_tokens."""
    forecast = Forecast(PRICE, exact=True)
    forecast.add(ASKED)
    sums = forecast.sums
    assert (sums.output.low, sums.output.expected, sums.output.most) == (1, RULE_TOKENS, 1000)
    assert sums.cost.low == 80 * 75 + 600
    assert sums.cost.expected == 100 * 150 + RULE_TOKENS * 600
    assert sums.cost.most == most(PRICE, 100, 1000) == 100 * 150 + 1000 * 600


def test_a_history_says_what_the_same_requests_were_billed() -> None:
    """Mean output, billed tokens a character and the provider's cache together give the bill again."""
    history = History(calls=10, output_tokens=12.5, per_char=0.2, cached=0.5)
    forecast = Forecast(PRICE, exact=True, history=history)
    for _ in range(4):
        forecast.add(ASKED)
    bill = 4 * cost(PRICE, Usage(80, 0, 40)) + 50 * 600
    assert forecast.sums.cost.expected == bill
    assert forecast.sums.output.expected == 50
    assert forecast.sums.output.low == 4


def test_a_mean_below_a_token_is_not_rounded_away() -> None:
    """A thousand answers of 1.4 tokens are 1,400 tokens, not 1,000."""
    spread = Spread()
    assert sum(spread.take(1.4) for _ in range(1000)) == pytest.approx(1400, abs=1)


def test_a_history_of_other_requests_does_not_run_away() -> None:
    """One call with an image has thousands of tokens and a few characters."""
    history = History(calls=1, output_tokens=5, per_char=100.0)
    forecast = Forecast(PRICE, exact=True, history=history)
    forecast.add(ASKED)
    assert forecast.sums.cost.expected == 200 * 150 + 5 * 600


def test_expected_is_never_over_the_most() -> None:
    """A history of long answers says nothing against a short max_tokens."""
    history = History(calls=9, output_tokens=900)
    forecast = Forecast(PRICE, exact=True, history=history)
    forecast.add(Question(texts=80, tokens=100, chars=400, longest=10))
    output = forecast.sums.output
    assert (output.low, output.expected, output.most) == (1, 10, 10)


def test_a_history_of_more_input_than_is_counted_raises_the_most() -> None:
    """A provider that bills more tokens than are counted here will again: the bill stays in the range."""
    history = History(calls=9, output_tokens=900, per_char=0.4)
    forecast = Forecast(PRICE, exact=True, history=history)
    forecast.add(ASKED)
    assert forecast.sums.cost.most == 160 * 150 + 1000 * 600
    assert forecast.sums.cost.low == 80 * 75 + 600


def test_a_stand_in_tokenizer_widens_the_range() -> None:
    """What another vocabulary counts may be too much or too little."""
    forecast = Forecast(PRICE, exact=False)
    forecast.add(ASKED)
    assert forecast.sums.cost.low == 64 * 75 + 600
    assert forecast.sums.cost.most == 125 * 150 + 1000 * 600


@pytest.mark.parametrize(("price", "longest"), [(None, 1000), (PRICE, None)])
def test_what_is_unknown_stays_unknown(price: Price | None, longest: int | None) -> None:
    """Neither an unknown price nor an endless answer is ever 0."""
    forecast = Forecast(price, exact=True)
    forecast.add(ASKED)
    forecast.add(Question(texts=80, tokens=100, chars=400, longest=longest))
    assert forecast.sums.cost.most is None
    assert forecast.sums.needs is None


def test_a_later_step_counts_by_its_chance_and_whole_in_the_most() -> None:
    """A cascade climbs now and then; at worst every time."""
    forecast = Forecast(PRICE, exact=True)
    for _ in range(10):
        forecast.add(ASKED, chance=0.1)
    sums = forecast.sums
    assert (sums.requests, sums.input_tokens, sums.cost.low) == (0, 0, 0)
    assert sums.cost.expected == 100 * 150 + RULE_TOKENS * 600
    assert sums.cost.most == 10 * most(PRICE, 100, 1000)


def test_a_budget_needs_the_most_and_one_reservation_more() -> None:
    """What is set aside for the last request is more than it costs, and has to fit too."""
    forecast = Forecast(PRICE, exact=True)
    highest = most(PRICE, 100, 1000)
    for more in (5, 70, 20):
        forecast.add(Question(texts=80, tokens=100, chars=400, longest=1000, reserved=highest + more))
    assert forecast.sums.needs == 3 * highest + 70


@pytest.mark.parametrize(
    ("needs", "left", "said"), [(5, 5, "fits"), (6, 5, "over"), (0, 0, "fits"), (None, 10**9, "unpriced")]
)
def test_the_verdict(needs: int | None, left: int, said: Verdict) -> None:
    """To the nano-dollar; what is free fits into an empty budget."""
    assert verdict(needs, left) == said


def test_low_is_what_the_cheapest_hour_and_the_standard_tier_ask() -> None:
    """A bill below the low would make the whole range unbelievable."""
    dear, cheap = (Rates(Decimal(rate), Decimal(rate)) for rate in (10, 4))
    standard, priority = (Step(0, dear),), (Step(0, Rates(Decimal(30), Decimal(30))),)
    always = Window(frozenset(range(1, 8)), 0, 0)
    night = Price(standard, {"priority": priority}, off_peak=OffPeak((always,), cheap))
    usage = Usage(100, 1)
    assert least(night, usage, "priority") == 404
    assert least(Price(standard, {"priority": priority}), usage, "priority") == 1010
