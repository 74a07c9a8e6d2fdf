"""The price book: what a model costs and what it can do, out of litellm's own price file.

The file is read as data out of the installed package, which is never imported for it; a newer one
that `llmctl models update` has fetched goes before it. What it does not know, nobody knows: None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from llmctl.core.errors import ConfigError
from llmctl.core.model import Usage
from llmctl.core.money import Nanos
from llmctl.core.profile import PriceRule
from llmctl.pricing.cost import FREE, Price, cost
from llmctl.pricing.entry import CHAT_MODES, OWN_MACHINE, read_entry, read_rule
from llmctl.pricing.index import Entry, Index, MemoryIndex, open_index
from llmctl.pricing.names import called, candidates, family, of_entry, variants

FILE = "model_prices_and_context_window_backup.json"
FETCHED = "prices.json"
HOSTED = "cloud"
"""How the names of models end that a program on the user's machine only passes on."""

ALIKE = 0.75
"""How like names must be to be suggested, by difflib's ratio."""

T = TypeVar("T")


class PriceBook:
    """Prices by `provider/model`. `overrides` are the profile's `prices` and go before the file's.

    `folder` holds the index and may be shared by many processes; `source` is another price file of
    litellm's format. Opened at the first look-up; ConfigError then, where there is no usable file.
    """

    def __init__(
        self, folder: Path, overrides: Mapping[str, PriceRule] | None = None, source: Path | None = None
    ) -> None:
        self.folder = folder
        self.warnings: list[str] = []
        self._overrides = {name.lower(): rule for name, rule in (overrides or {}).items()}
        self._source = source
        self._index: Index | None = None
        self._prices: dict[str, Price | None] = {}
        self._infos: dict[str, Entry | None] = {}

    @property
    def source(self) -> Path:
        """The price file that is read."""
        if self._source is None:
            fetched = self.folder / FETCHED
            self._source = fetched if fetched.is_file() else shipped()
        return self._source

    @cached_property
    def snapshot(self) -> str:
        """The file's date and the first 8 digits of its SHA-256, for the ledger."""
        return self._ask(lambda index: index.facts.snapshot)

    def price(self, model: str) -> Price | None:
        """What `provider/model` costs; None is unknown. A dated name has the price of the undated."""
        if model not in self._prices:
            self._prices[model] = self._find_price(model)
        return self._prices[model]

    def cost(self, answered: str, asked: str, usage: Usage, at: float) -> Nanos | None:
        """By the model that answered, else by the one that was asked; `at` Unix seconds. None: unknown."""
        price = self.price(answered) or self.price(asked)
        return None if price is None else cost(price, usage, service=usage.service, at=at)

    def _find_price(self, model: str) -> Price | None:
        rule = self.override(model)
        if rule is not None:
            return read_rule(rule)
        provider, _, bare = model.partition("/")
        if provider == "local":
            return FREE
        if provider in OWN_MACHINE:
            return None if bare.endswith(HOSTED) else FREE
        info = self.info(model)
        return None if info is None else read_entry(info, model)

    def override(self, model: str) -> PriceRule | None:
        """The profile's own price of the model, if it has one."""
        if self._overrides:
            for name in variants(model):
                if name.lower() in self._overrides:
                    return self._overrides[name.lower()]
        return None

    def info(self, model: str) -> Entry | None:
        """The file's entry of `provider/model`: `max_input_tokens`, `supports_vision`, ….

        None where the file does not know it. Read-only by agreement.
        """
        if model not in self._infos:
            self._infos[model] = self._find_info(model)
        return self._infos[model]

    def _find_info(self, model: str) -> Entry | None:
        own = family(model.partition("/")[0])
        for _, entry in self._ask(lambda index: index.find(candidates(model))):
            if family(str(entry["litellm_provider"])) == own:
                return entry
        return None

    def provider_of(self, bare: str) -> str | None:
        """The provider that a model name without one belongs to, as litellm resolves it, else None."""
        found = self._ask(lambda index: index.find([bare]))
        if found:
            name, entry = found[0]
            return called(str(entry["litellm_provider"])) if of_entry(name, entry) else None
        if bare.startswith(("ft:gpt-3.5-turbo", "ft:gpt-4")):
            return "openai"
        for pattern, provider in self._ask(lambda index: index.facts.routes):
            if re.search(pattern, bare, re.IGNORECASE):
                return provider
        return None

    def near(self, model: str, count: int = 3) -> list[str]:
        """Known chat models with names like this one, the same provider's first."""
        import difflib

        names = [name for name, _ in self.models()]
        own = [name for name in names if name.partition("/")[0] == model.partition("/")[0]]
        close = difflib.get_close_matches(model, own, count, ALIKE)
        if len(close) < count:
            ends: dict[str, list[str]] = {}
            for name in names:
                ends.setdefault(name.partition("/")[2], []).append(name)
            bare = model.partition("/")[2] or model
            close += [
                n for end in difflib.get_close_matches(bare, list(ends), count, ALIKE) for n in ends[end]
            ]
        return list(dict.fromkeys(close))[:count]

    def models(self, modes: Iterable[str] = CHAT_MODES) -> Iterator[tuple[str, Entry]]:
        """Every model of the file that is asked in one of the modes, as (`provider/model`, entry)."""
        wanted = frozenset(modes)
        found: dict[str, Entry] = {}
        for key, entry in self._ask(lambda index: list(index.rows())):
            name = of_entry(key, entry) if entry.get("mode") in wanted else None
            if name is not None and (name == key or name not in found):
                found[name] = entry
        yield from found.items()

    def _ask(self, question: Callable[[Index], T]) -> T:
        """The index's answer. One that turns out broken is built anew, once, and then done without."""
        import sqlite3

        if self._index is None:
            self._index = self._opened()
        try:
            return question(self._index)
        except (sqlite3.Error, ValueError, KeyError, TypeError):
            if isinstance(self._index, MemoryIndex):
                raise
            self._index = open_index(self.source, self.folder, fresh=True)
            return question(self._index)

    def _opened(self) -> Index:
        try:
            return open_index(self.source, self.folder)
        except ConfigError as error:
            if self.source != self.folder / FETCHED:
                raise
            self.warnings.append(f"{error.message}; the prices of the installed litellm are used")
            self._source = shipped()
            return open_index(self._source, self.folder)


def shipped() -> Path:
    """The price file within the installed litellm. ConfigError where there is none."""
    from importlib.util import find_spec

    found = find_spec("litellm")
    if found is None or found.origin is None:
        raise ConfigError("litellm, which brings the prices, is not installed", hint="install llmctl again")
    return Path(found.origin).parent / FILE


def abilities(entry: Mapping[str, Any]) -> frozenset[str]:
    """What the model can do, in the file's words without their `supports_`: vision, function_calling, …."""
    return frozenset(
        key.removeprefix("supports_")
        for key, value in entry.items()
        if key.startswith("supports_") and value is True
    )
