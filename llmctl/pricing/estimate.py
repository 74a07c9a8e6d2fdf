"""What requests will cost before they are sent: low, expected and most, summed as they are read.

| | input | output |
|---|---|---|
| low | the texts alone, all read from the provider's cache | 1 token: no answer is shorter |
| expected | as the history was billed, else as counted | the history's mean, else the rule below |
| most | as counted, or billed if more; at the dearest rate | `max_tokens`, else the model's own limit |

Without a history an answer is expected to have 250 tokens, some two paragraphs. Retries are in none of
the three. Where the tokenizer is only the nearest one, the count may be 20 % too high or 25 % too low.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from llmctl.core.model import Usage
from llmctl.core.money import Nanos
from llmctl.pricing.cost import Price, cost, least, most
from llmctl.pricing.searches import NO_SEARCHES, Searches

RULE_TOKENS = 250
"""Output tokens that are expected of a model that nothing is known of yet."""
TOO_HIGH, TOO_LOW = 0.8, 1.25
"""What a stand-in tokenizer's count may have to be multiplied with."""
KEPT = 8192
"""Costs that are remembered."""
MOST_RATIO = 2
"""Billed tokens a counted one at most: beyond it the history is of other requests (images)."""

Verdict = Literal["fits", "over", "unpriced"]


@dataclass(frozen=True, slots=True)
class History:
    """What earlier calls of the same kind came to; `of` says which kind, for people.

    `output_tokens` is the mean; `per_char` billed input tokens a character of
    the messages, None where they had none; `cached` the share of them read from the provider's cache.
    """

    calls: int
    output_tokens: float
    per_char: float | None = None
    cached: float = 0.0
    of: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """One request, measured. `longest` None: nothing limits the answer.

    `texts` are the tokens of the texts alone, `tokens` all input tokens, `choices` the answers asked for
    at once; `reserved` is what a budget sets aside before it is sent, in nano-dollars. `searches` come
    to the most; None: nothing limits them.
    """

    texts: int
    tokens: int
    chars: int
    longest: int | None
    choices: int = 1
    media: bool = False
    service: str | None = None
    reserved: Nanos | None = None
    searches: Searches | None = NO_SEARCHES


@dataclass(slots=True)
class Spread:
    """Deals a mean out in whole tokens: their sum is never a token away from the mean's."""

    left: Fraction = Fraction(0)

    def take(self, amount: float) -> int:
        self.left += Fraction(amount)
        whole = math.floor(self.left)
        self.left -= whole
        return whole


@dataclass(slots=True)
class Range:
    """Low, expected, most: tokens or nano-dollars; None is unknown."""

    low: int | None = 0
    expected: int | None = 0
    most: int | None = 0

    def __iadd__(self, other: Range) -> Range:
        self.low = _sum(self.low, other.low)
        self.expected = _sum(self.expected, other.expected)
        self.most = _sum(self.most, other.most)
        return self


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


@dataclass(slots=True)
class Sums:
    """Requests of one kind, added up; `slack` is how far one reservation is above what it may cost."""

    requests: int = 0
    input_tokens: int = 0
    output: Range = field(default_factory=Range)
    cost: Range = field(default_factory=Range)
    slack: Nanos = 0

    @property
    def needs(self) -> Nanos | None:
        """What has to be left in a budget so that none of the requests is refused: most of them all, and
        the slack of one, since the others have settled when the last is sent."""
        return None if self.cost.most is None else self.cost.most + self.slack

    def __iadd__(self, other: Sums) -> Sums:
        self.requests += other.requests
        self.input_tokens += other.input_tokens
        self.output += other.output
        self.cost += other.cost
        self.slack = max(self.slack, other.slack)
        return self


class Forecast:
    """Adds up requests of one kind: one model, at one price (None: unknown), with one history or none.

    `exact` says that the tokens were counted as the provider counts them.
    """

    def __init__(self, price: Price | None, exact: bool, history: History | None = None) -> None:
        self.price = price
        self.exact = exact
        self.history = history
        self.sums = Sums()
        self._input, self._cached, self._output = Spread(), Spread(), Spread()
        # Many rows of a file have as many tokens as another.
        self._priced = lru_cache(KEPT)(self._price_of)
        self._dearest = lru_cache(KEPT)(self._most_of)
        self._lowest = lru_cache(KEPT)(self._least_of)

    def add(self, asked: Question, chance: float | None = None) -> None:
        """`chance`: how likely it is asked at all, as a later step of a cascade; it is no request then."""
        sums = self.sums
        certain = chance is None
        usage = self._usage(asked, 1.0 if chance is None else chance)
        low = self._low(asked) if certain else Usage()
        longest = None if asked.longest is None else asked.longest * asked.choices
        tokens = max(asked.tokens, usage.input_tokens)  # where more was billed than is counted here
        highest = None
        if longest is not None and asked.searches is not None:
            tokens += asked.searches.tokens
            highest = asked.searches.fee + self._dearest(tokens, longest, asked.media, asked.service)
        sums.requests += certain
        sums.input_tokens += asked.tokens if certain else 0
        sums.output += Range(low.output_tokens, usage.output_tokens, longest)
        lowest = self._lowest(low, asked.service) if certain else 0
        expected = self._priced(usage, asked.service) if usage.input_tokens else 0
        if self.price is None:
            sums.cost += Range(None, None, None)
        else:
            sums.cost += Range(lowest, max(lowest, expected), highest)
        if asked.reserved is not None and highest is not None:
            sums.slack = max(sums.slack, asked.reserved - highest)

    def _price_of(self, usage: Usage, service: str | None) -> Nanos:
        return 0 if self.price is None else cost(self.price, usage, service=service)

    def _least_of(self, usage: Usage, service: str | None) -> Nanos:
        return 0 if self.price is None else least(self.price, usage, service)

    def _most_of(self, tokens: int, longest: int, media: bool, service: str | None) -> Nanos:
        if self.price is None:
            return 0
        tokens = tokens if self.exact else math.ceil(tokens * TOO_LOW)
        return most(self.price, tokens, longest, media=media, service=service)

    def _usage(self, asked: Question, chance: float) -> Usage:
        """What is expected of it."""
        history = self.history
        tokens: float = asked.tokens
        output: float = RULE_TOKENS * asked.choices
        cached = 0
        if history is not None:
            output = history.output_tokens
            if history.per_char is not None and asked.chars:
                tokens = min(asked.chars * history.per_char, MOST_RATIO * asked.tokens)
        if asked.longest is not None:
            output = min(output, asked.longest * asked.choices)
        whole = self._input.take(tokens * chance)
        if history is not None and history.cached:
            cached = min(whole, self._cached.take(tokens * chance * history.cached))
        return Usage(whole, self._output.take(output * chance), cached)

    def _low(self, asked: Question) -> Usage:
        """The least that it can come to."""
        least = asked.texts if self.exact else math.floor(asked.texts * TOO_HIGH)
        if self.history is not None and self.history.per_char is not None and asked.chars:
            least = min(least, math.floor(asked.chars * self.history.per_char))
        return Usage(least, 1, least)


def verdict(needs: Nanos | None, left: Nanos) -> Verdict:
    """Whether the most that it may cost fits into what is left; what is free fits always."""
    if needs is None:
        return "unpriced"
    return "over" if needs > 0 and needs > left else "fits"
