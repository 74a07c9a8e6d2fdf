"""Searches of the web: which requests make them, how many at most, and what they add to the bill.

A provider bills a fee for each search, and most of them bill what was found as input besides: as
much as the model's context holds, each time. So a request that may search as often as it likes has
no most that could be set aside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from llmctl.core.errors import BudgetError
from llmctl.core.model import Request
from llmctl.core.money import Nanos
from llmctl.pricing.cost import Price

SEARCHING = re.compile(r"(?:^|/)sonar(?!.*-(?:chat|online))|-search(?:-preview|-api)?(?:-\d|$)|:online$")
"""Names of models that search for every request."""
RESEARCHING = re.compile(r"deep-research")
"""Names of models that search as often as they like."""
READS_FREE = re.compile(r"(?:^|/)sonar|-search-preview")
"""Names of models whose searches cost their fee alone: what they find is no input."""

ASKING = ("web_search_options", "search_parameters", "enable_search", "plugins")
"""Parameters that ask for searches, besides tools."""
OUR_TOOLS = ("function", "custom", "bash_", "text_editor_", "computer_", "memory_")
"""How the types of tools begin that the asker runs; of all others only the provider knows what they do."""
LIMITED = {"anthropic": "web_search_"}
"""Providers that obey `max_uses` of such a tool, and tell in their usage how often it was used."""


class Searches(NamedTuple):
    """What a request's searches can add at most to what its own texts and its model's usual fee cost."""

    fee: Nanos = 0
    tokens: int = 0


NO_SEARCHES = Searches()


def searches(request: Request, price: Price, info: Callable[[str], Mapping[str, Any] | None]) -> Searches:
    """`info` gives a model's entry in the price file. BudgetError where there is no most."""
    model = request.target.model
    if price.free:
        return NO_SEARCHES
    if price.searches and price.search is None:
        raise _unlimited(f"{model}: what its searches cost is unknown", "take a model whose price says it")
    if price.searches and RESEARCHING.search(model):
        raise _unlimited(f"{model}: nothing limits how often it searches", "take another model")
    asked = sum(_asked(request, price))
    reading = asked + (0 if READS_FREE.search(model) else price.searches)
    if not reading:
        return NO_SEARCHES
    window = (info(model) or {}).get("max_input_tokens")
    if not isinstance(window, int):
        raise _unlimited(f"{model}: how much its searches may read is unknown", "take another model")
    return Searches(int(asked * (price.search or 0)), reading * window)


def _asked(request: Request, price: Price) -> Iterator[int]:
    """How often each of the request's tools may search. BudgetError where nothing limits it."""
    more = request.params.get("extra_body")
    for params in (request.params, more if isinstance(more, Mapping) else {}):
        for name in ASKING:
            # It only says how a model searches that does so anyway.
            asked = params.get(name) not in (None, False)
            if asked and not (name == "web_search_options" and price.searches):
                raise _no_limit(request, name)
        tools = params.get("tools")
        for tool in tools if isinstance(tools, list | tuple) else ():
            if isinstance(tool, Mapping) and not _ours(tool):
                yield _uses(request, tool, price)


def _ours(tool: Mapping[str, Any]) -> bool:
    kind = tool.get("type")
    if kind is None:
        return "function" in tool or "input_schema" in tool or "function_declarations" in tool
    return isinstance(kind, str) and kind.startswith(OUR_TOOLS)


def _uses(request: Request, tool: Mapping[str, Any], price: Price) -> int:
    kind, limit = str(tool.get("type") or next(iter(tool), "")), tool.get("max_uses")
    prefix = LIMITED.get(request.target.provider)
    if prefix is None or not kind.startswith(prefix) or price.search is None:
        raise _no_limit(request, kind)
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise _no_limit(request, kind, "set the tool's max_uses")
    return limit


def _no_limit(request: Request, what: str, hint: str = "") -> BudgetError:
    return _unlimited(
        f"{request.target.model}: nothing limits what {what} may cost",
        hint or f"leave {what} out, or ask a model that searches once for each request",
    )


def _unlimited(message: str, hint: str) -> BudgetError:
    error = BudgetError(f"{message}, and a budget is set", hint=hint)
    error.narrow = frozenset({"model"})
    return error
