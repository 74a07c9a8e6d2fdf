"""The most that one attempt can cost: what a budget sets aside before it is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmctl.core.errors import BudgetError
from llmctl.core.model import Message, Request
from llmctl.core.money import Nanos
from llmctl.pricing.book import PriceBook
from llmctl.pricing.cost import Price, most
from llmctl.pricing.searches import searches
from llmctl.pricing.tokens import along, plain_bound, upper_bound

CAPS = ("max_completion_tokens", "max_tokens")
"""The parameters that limit the output; where both are set, the larger one is taken."""
ALONG = ("tools", "functions", "response_format")
"""Parameters that the model reads as input."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What decides a reservation beside the messages."""

    price: Price
    output: int
    """Tokens that all answers together can have."""
    along: int
    """Tokens that a schema, tools, what searches find and the like cannot exceed."""
    service: str | None
    media: bool
    fee: Nanos = 0
    """Of searches that were asked for."""

    def most(self, messages: Sequence[Message], model: str) -> Nanos:
        tokens, media = plain_bound(messages), self.media
        if tokens is None:
            tokens, media = upper_bound(messages, model=model), media or has_media(messages)
        tokens += self.along
        return self.fee + most(self.price, tokens, self.output, media=media, service=self.service)


class Reservations:
    """Gives the most that a request can cost; what requests of a batch have in common is worked out once.

    `sent_as_is` tells whether a provider gets all parameters, also those that nobody asked for.
    """

    def __init__(self, book: PriceBook, sent_as_is: Callable[[str], bool]) -> None:
        self.book = book
        self._sent_as_is = sent_as_is
        self._of: Request | None = None
        self._terms: Terms | None = None

    def __call__(self, request: Request) -> Nanos:
        """In nano-dollars; 0 for a model that is free. BudgetError where no upper limit is known."""
        if self._of is None or not _alike(request, self._of):
            self._terms = terms(request, self.book, self._sent_as_is(request.target.provider))
            self._of = request
        return 0 if self._terms is None else self._terms.most(request.messages, request.target.model)


def _alike(a: Request, b: Request) -> bool:
    """The same objects, not equal ones: whoever changes one makes another."""
    return a.target is b.target and a.params is b.params and a.schema is b.schema and a.defaults is b.defaults


def reservation(request: Request, book: PriceBook, *, sent_as_is: bool = True) -> Nanos:
    """As `Reservations`, for one request.

    Without `sent_as_is` parameters that nobody asked for may be dropped on the way, a limit among them.
    """
    found = terms(request, book, sent_as_is)
    return 0 if found is None else found.most(request.messages, request.target.model)


def terms(request: Request, book: PriceBook, sent_as_is: bool) -> Terms | None:
    """None for a model that is free. BudgetError where no upper limit is known."""
    model, params = request.target.model, request.params
    price = book.price(model)
    if price is None:
        raise _of_model(f"{model}: its price is unknown, and a budget is set", declare(model))
    if price.free:
        return None
    sent = (request.schema, *(params.get(name) for name in ALONG))
    service, asked = params.get("service_tier"), params.get("modalities")
    searched = searches(request, price, book.info)
    return Terms(
        price,
        output_limit(request, book, sent_as_is) * choices(params),
        along(sent) + searched.tokens,
        service if isinstance(service, str) else None,
        isinstance(asked, list | tuple) and bool(set(asked) - {"text"}),
        searched.fee,
    )


def declare(model: str) -> str:
    """What to do about a price that nobody knows."""
    return (
        "declare it in the profile, in USD per million tokens (0 is a price):"
        f" prices: {{{model}: {{input: 0.10, output: 0.30}}}}"
    )


def output_limit(request: Request, book: PriceBook, sent_as_is: bool = True) -> int:
    """Tokens that one answer can have: by the parameters, else by what the model can do."""
    cap = max(_count(request.params.get(name)) for name in CAPS)
    asked_for = any(_count(request.params.get(name)) for name in CAPS if name not in request.defaults)
    if cap and (sent_as_is or asked_for):
        return cap
    info = book.info(request.target.model) or {}
    if cap := _count(info.get("max_output_tokens")) or _count(info.get("max_tokens")) or cap:
        return cap
    raise _of_model(
        f"{request.target.model}: nothing limits how long its answer may be, and a budget is set",
        "set max_tokens: -O max_tokens=1000, or in the model's params",
    )


def _of_model(message: str, hint: str) -> BudgetError:
    error = BudgetError(message, hint=hint)
    error.narrow = frozenset({"model"})
    return error


def choices(params: Mapping[str, Any]) -> int:
    """How many answers are asked for at once."""
    return _count(params.get("n")) or 1


def has_media(messages: Sequence[Message]) -> bool:
    """Whether anything but text goes in."""
    return any(
        isinstance(part, Mapping) and part.get("type") != "text"
        for message in messages
        if message.get("content").__class__ is not str and isinstance(message.get("content"), list | tuple)
        for part in message["content"]
    )


def _count(value: object) -> int:
    """A whole number above 0, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
