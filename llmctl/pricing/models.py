"""Models as the price book knows them: looked up, filtered and sorted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from llmctl.core.errors import UsageError
from llmctl.pricing.book import PriceBook
from llmctl.pricing.book import abilities as abilities_of
from llmctl.pricing.choose import NAMES_OF_NEEDS
from llmctl.pricing.cost import Price, Rates

SHORT = {
    "vision": "vision",
    "function_calling": "tools",
    "response_schema": "schema",
    "reasoning": "reasoning",
    "audio_input": "audio",
    "pdf_input": "pdf",
    "prompt_caching": "caching",
    "web_search": "search",
}
"""Abilities that a list shows, in its order: litellm's word and ours."""
Sort = Literal["name", "price", "context"]
SORTS: tuple[Sort, ...] = ("name", "price", "context")


@dataclass(frozen=True, slots=True)
class Model:
    """`name` is `provider/model`; `context` and `longest` (output) in tokens; None is unknown."""

    name: str
    context: int | None
    longest: int | None
    price: Price | None
    abilities: frozenset[str]

    @property
    def provider(self) -> str:
        return self.name.partition("/")[0]

    @property
    def input(self) -> float | None:
        """USD per million input tokens of a short request."""
        return per_million(self.price.base.input) if self.price else None

    @property
    def output(self) -> float | None:
        """USD per million output tokens of a short request."""
        return per_million(self.price.base.output) if self.price else None

    @property
    def shown(self) -> list[str]:
        """The abilities worth a word, in a fixed order."""
        return [short for word, short in SHORT.items() if word in self.abilities]

    def envelope(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "provider": self.provider,
            "context": self.context,
            "max_output": self.longest,
            "input_usd_per_million": self.input,
            "output_usd_per_million": self.output,
            "abilities": self.shown,
        }


def per_million(nanos_a_token: Decimal) -> float:
    """Nano-dollars a token as USD per million tokens."""
    return float(nanos_a_token / 1000)


def look_up(book: PriceBook, name: str) -> Model:
    """`provider/model`; whatever the book does not know of it is None."""
    info = book.info(name) or {}
    return Model(
        name,
        _count(info.get("max_input_tokens")) or _count(info.get("max_tokens")),
        _count(info.get("max_output_tokens")),
        book.price(name),
        abilities_of(info),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def known(book: PriceBook, own: Iterable[str] = ()) -> Iterator[Model]:
    """`own` models first, such as the profile's, then all chat models of the price file."""
    names = dict.fromkeys(own)
    names.update(dict.fromkeys(name for name, _ in book.models()))
    return (look_up(book, name) for name in names)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which models; what is not said lets all pass. `max_input` in USD per million tokens."""

    text: str = ""
    provider: str | None = None
    abilities: frozenset[str] = frozenset()
    max_input: float | None = None
    context: int = 0

    def __post_init__(self) -> None:
        if unknown := sorted(self.abilities - SHORT.keys()):
            words = ", ".join(SHORT.values())
            raise UsageError(f"--ability {unknown[0]}: there is no such ability", hint=f"one of {words}")

    def fits(self, model: Model) -> bool:
        """What is unknown fits no wish."""
        return (
            self.text.lower() in model.name.lower()
            and self.provider in (None, model.provider)
            and self.abilities <= model.abilities
            and (self.max_input is None or (model.input is not None and model.input <= self.max_input))
            and (not self.context or (model.context or 0) >= self.context)
        )


def needed(words: Iterable[str]) -> frozenset[str]:
    """Abilities in litellm's words, from ours or theirs."""
    return frozenset(NAMES_OF_NEEDS.get(word.strip(), word.strip()) for word in words if word.strip())


def ordered(models: Iterable[Model], by: Sort) -> list[Model]:
    """By name, by price (input and output together, the cheapest first) or by context, the longest first."""
    if by == "price":
        return sorted(models, key=lambda m: (m.price is None, (m.input or 0) + (m.output or 0), m.name))
    if by == "context":
        return sorted(models, key=lambda m: (-(m.context or 0), m.name))
    return sorted(models, key=lambda m: m.name)


@dataclass(frozen=True, slots=True)
class Rate:
    """One line of a price list: when it holds, which tokens, USD per million of them."""

    when: str
    kind: str
    usd: float


KINDS = (
    ("input", "input"),
    ("output", "output"),
    ("cached", "cached input"),
    ("write", "cache write"),
    ("write_1h", "cache write, 1 h"),
    ("reasoning", "reasoning"),
    ("audio_in", "audio in"),
    ("audio_out", "audio out"),
    ("image_in", "image in"),
    ("image_out", "image out"),
)


def rates(price: Price) -> list[Rate]:
    """Every price that a model has of its own: by length of the request, service tier and hour."""
    found = [rate for step in price.steps for rate in _rates(_when("", step.over), step.rates)]
    for service, steps in sorted(price.services.items()):
        found += [rate for step in steps for rate in _rates(_when(service, step.over), step.rates)]
    if price.off_peak:
        found += _rates("off-peak", price.off_peak.rates)
    return found


def _when(service: str, over: int) -> str:
    """`flex, over 200,000 tokens`."""
    parts = [service, f"over {over:,} tokens" if over else ""]
    return ", ".join(part for part in parts if part) or "usual"


def _rates(when: str, rates: Rates) -> list[Rate]:
    told = [(name, getattr(rates, kind)) for kind, name in KINDS]
    return [Rate(when, name, per_million(rate)) for name, rate in told if rate is not None]
