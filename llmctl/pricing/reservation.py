"""The most that one attempt can cost: what a budget sets aside before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmctl.core.errors import BudgetError
from llmctl.core.model import Request
from llmctl.core.money import Nanos
from llmctl.pricing.book import PriceBook
from llmctl.pricing.cost import most
from llmctl.pricing.tokens import upper_bound

CAPS = ("max_completion_tokens", "max_tokens")
"""The parameters that limit the output; where both are set, the larger one is taken."""
ALONG = ("tools", "functions", "response_format")
"""Parameters that the model reads as input."""


def reservation(request: Request, book: PriceBook, *, sent_as_is: bool = True) -> Nanos:
    """In nano-dollars; 0 for a model that is free. BudgetError where no upper limit is known.

    Without `sent_as_is` parameters that nobody asked for may be dropped on the way, a limit among them.
    """
    model, params = request.target.model, request.params
    price = book.price(model)
    if price is None:
        raise BudgetError(
            f"{model}: its price is unknown, and a budget is set",
            hint=declare(model),
        )
    if price.free:
        return 0
    sent = (request.schema, *(params.get(name) for name in ALONG))
    service = params.get("service_tier")
    return most(
        price,
        upper_bound(request.messages, *sent, model=model),
        output_limit(request, book, sent_as_is) * choices(params),
        media=has_media(request),
        service=service if isinstance(service, str) else None,
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
    raise BudgetError(
        f"{request.target.model}: nothing limits how long its answer may be, and a budget is set",
        hint="set max_tokens: -O max_tokens=1000, or in the model's params",
    )


def choices(params: Mapping[str, Any]) -> int:
    """How many answers are asked for at once."""
    return _count(params.get("n")) or 1


def has_media(request: Request) -> bool:
    """Whether anything but text goes in or may come out."""
    asked = request.params.get("modalities")
    if isinstance(asked, list | tuple) and set(asked) - {"text"}:
        return True
    return any(
        isinstance(part, Mapping) and part.get("type") != "text"
        for message in request.messages
        if isinstance(message.get("content"), list | tuple)
        for part in message["content"]
    )


def _count(value: object) -> int:
    """A whole number above 0, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
