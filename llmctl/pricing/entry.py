"""From litellm's entry of a model, or a profile's price rule, to a Price.

An entry's keys read `<kind>[_above_<N>[k]_tokens][_<service>]`, in USD per token, such as
`cache_read_input_token_cost_above_272k_tokens_flex`; some providers list `tiered_pricing` instead.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeGuard

from llmctl.core.money import NANO, per_token
from llmctl.core.profile import PriceRule
from llmctl.pricing.cost import FALLBACK, FREE, ZERO, OffPeak, Price, Rates, Step, Window
from llmctl.pricing.searches import RESEARCHING, SEARCHING

KINDS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached",
    "cache_creation_input_token_cost": "write",
    "cache_creation_input_token_cost_above_1hr": "write_1h",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_in",
    "cache_read_input_audio_token_cost": "cached_audio",
    "output_cost_per_audio_token": "audio_out",
    "input_cost_per_image_token": "image_in",
    "output_cost_per_image_token": "image_out",
}
KEY = re.compile(
    rf"({'|'.join(sorted(KINDS, key=len, reverse=True))})(?:_above_(\d+)(k?)_tokens)?(?:_([a-z]+))?"
)

HOURS = re.compile(r"\s*(\d\d?):(\d\d)\s*-\s*(\d\d?):(\d\d)\s*")

CHAT_MODES = frozenset({"chat", "responses", "completion"})
OWN_MACHINE = frozenset(
    {"ollama", "ollama_chat", "lemonade", "llamafile", "lm_studio", "docker_model_runner"}
)
"""Providers that run on the user's own machine, where a token costs nothing."""

INCLUSIVE = frozenset({"xai"})
"""Providers whose higher rates begin at the threshold itself, not past it."""

SEARCHES_ALWAYS = frozenset({"perplexity"})
"""Providers whose models with a fee for searches search for every request."""

Table = dict[str, Decimal]


def read_entry(entry: Mapping[str, Any], name: str = "") -> Price | None:
    """The price in an entry of litellm's file; None where it does not say what tokens cost.

    The model's `name` tells whether it searches the web for every request: the file does not.

    The file writes 0 for models that are free and for models whose price its authors do not know,
    so 0 counts as a price only for models on one's own machine.
    """
    provider = str(entry.get("litellm_provider", ""))
    tables = _tables(entry, provider)
    steps = _steps(tables.pop("", {}))
    if steps is None:
        return None
    base = steps[0].rates
    fees = _search_fees(entry)
    searches = int(_searches(provider, name, fees))
    usual = most = _request(entry)
    if searches and fees:
        usual, most = usual + min(fees), most + max(fees)
    if not (base.input or usual) or not (base.output or entry.get("mode") not in CHAT_MODES):
        return FREE if provider in OWN_MACHINE else None
    services = {name: _service(levels, steps) for name, levels in tables.items()}
    off_peak = _off_peak(entry.get("off_peak_pricing"), base)
    return Price(steps, services, usual, most, off_peak, max(fees, default=None), searches)


def read_rule(rule: PriceRule) -> Price | None:
    """The price that a profile declares; None (unknown) without both input and output."""
    if rule.input is None or rule.output is None:
        return None
    rates = Rates(
        input=_per_million(rule.input),
        output=_per_million(rule.output),
        cached=None if rule.cached is None else _per_million(rule.cached),
        write=None if rule.cache_write is None else _per_million(rule.cache_write),
        reasoning=None if rule.reasoning is None else _per_million(rule.reasoning),
    )
    return Price((Step(0, rates),))


def _per_million(usd: float) -> Decimal:
    return Decimal(repr(usd)) * NANO / 1_000_000


def _tables(entry: Mapping[str, Any], provider: str) -> dict[str, dict[int, Table]]:
    """Nano-dollars by service tier ('' is standard), threshold and kind, as the entry has them."""
    tables: dict[str, dict[int, Table]] = defaultdict(lambda: defaultdict(dict))
    for key, value in entry.items():
        match = KEY.fullmatch(key)
        if match is None or not _is_price(value):
            continue
        stem, number, thousands, service = match.groups()
        over = int(number or 0) * (1000 if thousands else 1)
        if over and provider in INCLUSIVE:
            over -= 1
        tables[service or ""][over][KINDS[stem]] = per_token(value)
    for tier in _listed(entry.get("tiered_pricing")):
        over = int(tier["range"][0])
        own = {
            KINDS[key]: per_token(value) for key, value in tier.items() if key in KINDS and _is_price(value)
        }
        # A listed tier holds every rate of its requests: what it lacks is never another tier's.
        tables[""][over] = _whole(own, tables[""][0])
    hit = entry.get("input_cost_per_token_cache_hit")
    if _is_price(hit):
        tables[""][0].setdefault("cached", per_token(hit))
    return _tidy(tables)


def _is_price(value: object) -> TypeGuard[float]:
    return (
        isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    )


def _listed(tiers: object) -> list[Mapping[str, Any]]:
    """The usable rows of `tiered_pricing`: a range of two numbers and an input price."""
    return [
        tier
        for tier in _mappings(tiers)
        if isinstance(tier.get("range"), list)
        and len(tier["range"]) == 2
        and all(_is_price(bound) for bound in tier["range"])
        and _is_price(tier.get("input_cost_per_token"))
    ]


def _whole(own: Table, base: Table) -> Table:
    """A listed tier with its fallbacks written out; only output may come from the model's own."""
    table = dict(own)
    if "output" not in table and "output" in base:
        table["output"] = base["output"]
    for kind in ("cached", "write", "reasoning"):
        if FALLBACK[kind] in table:
            table.setdefault(kind, table[FALLBACK[kind]])
    return table


def _tidy(tables: dict[str, dict[int, Table]]) -> dict[str, dict[int, Table]]:
    """Without rates that say nothing or too little.

    A free cache write is litellm's way to say that writing has no surcharge: those tokens are still
    read. A kind that costs what its fallback costs is dropped, so that it follows it into the tiers.
    """
    for levels in tables.values():
        for table in levels.values():
            for kind in ("write", "write_1h"):
                if table.get(kind) == ZERO:
                    del table[kind]
    for kind in ("reasoning", "image_in", "image_out", "audio_in", "audio_out"):
        told = [table for table in tables[""].values() if kind in table]
        if all(table[kind] == table.get(FALLBACK[kind]) for table in told):
            for table in told:
                del table[kind]
    return tables


def _steps(levels: Mapping[int, Table]) -> tuple[Step, ...] | None:
    """The standard ladder: past a threshold, a kind without a price of its own keeps the one below."""
    if not {"input", "output"} <= levels.get(0, {}).keys():
        return None
    steps: list[Step] = []
    merged: Table = {}
    for over in sorted(levels):
        merged = merged | levels[over]
        steps.append(Step(over, Rates(**merged)))
    return tuple(steps)


def _service(levels: Mapping[int, Table], standard: tuple[Step, ...]) -> tuple[Step, ...]:
    """A service tier's ladder over the standard one's thresholds and its own.

    Past a threshold where the service has no price of its own, the dearer of its price below and
    the standard one: a bill may then be less than was counted, but not more.
    """
    steps: list[Step] = []
    below: Table = {}
    for over in sorted({step.over for step in standard} | set(levels) | {0}):
        rates = [step.rates for step in standard if step.over <= over][-1]
        plain = {
            kind: rate
            for kind in (*FALLBACK, "input", "output")
            if (rate := getattr(rates, kind)) is not None
        }
        inherited = {kind: max(below.get(kind, rate), rate) if over else rate for kind, rate in plain.items()}
        below = below | inherited | levels.get(over, {})
        steps.append(Step(over, Rates(**below)))
    return tuple(steps)


def _request(entry: Mapping[str, Any]) -> Decimal:
    """Nano-dollars that each request costs besides its tokens and searches."""
    fixed = entry.get("input_cost_per_request")
    return per_token(fixed) if _is_price(fixed) else ZERO


def _search_fees(entry: Mapping[str, Any]) -> list[Decimal]:
    """Nano-dollars per search of the web, by how much it brings; empty where the file has none."""
    search = entry.get("search_context_cost_per_query")
    found = search.values() if isinstance(search, Mapping) else ()
    return [per_token(fee) for fee in found if _is_price(fee)]


def _searches(provider: str, name: str, fees: list[Decimal]) -> bool:
    """Whether every request makes a search."""
    by_name = SEARCHING.search(name) or RESEARCHING.search(name)
    return bool(by_name) or (provider in SEARCHES_ALWAYS and bool(fees))


def _off_peak(block: object, base: Rates) -> OffPeak | None:
    """The cheaper hours, where they are told in UTC and are cheaper; standard rates hold otherwise."""
    if not isinstance(block, Mapping) or block.get("weekday_timezone") not in (None, "", "UTC"):
        return None
    rules = [*_mappings(block.get("windows")), block]
    windows = [
        window
        for rule in rules
        for hours in _texts(rule.get("hours_utc"))
        if (window := _window(hours, rule.get("weekdays"))) is not None
    ]
    own = {KINDS[key]: per_token(value) for key, value in block.items() if key in KINDS and _is_price(value)}
    rates = replace(base, **own)
    dearer = any(rates.of(kind) > base.of(kind) for kind in ("input", "output", *FALLBACK))
    return OffPeak(tuple(windows), rates) if windows and not dearer else None


def _window(hours: str, weekdays: object) -> Window | None:
    match = HOURS.fullmatch(hours)
    if match is None:
        return None
    first_hour, first_minute, last_hour, last_minute = map(int, match.groups())
    days = frozenset(range(1, 8)) if weekdays is None else _days(weekdays)
    return Window(days, first_hour * 60 + first_minute, last_hour * 60 + last_minute)


def _days(weekdays: object) -> frozenset[int]:
    known = weekdays if isinstance(weekdays, list) else []
    return frozenset(day for day in known if isinstance(day, int) and not isinstance(day, bool))


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    found = [value] if isinstance(value, str) else value
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []
