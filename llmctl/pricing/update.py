"""A newer price file in the place of the one in use: looked at first, put there whole, told what changed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmctl.core.errors import ConfigError, StorageError
from llmctl.core.files import private_folder
from llmctl.pricing.book import FETCHED, PriceBook
from llmctl.pricing.cost import Price
from llmctl.pricing.entry import read_entry

MOST_BYTES = 64 * 2**20
"""Of a price file; litellm's has three million."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a new price file says otherwise; names as `provider/model`."""

    before: str
    after: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    dearer: tuple[str, ...]
    cheaper: tuple[str, ...]
    other: tuple[str, ...]
    """Prices of caches, tiers or media changed, or a price became known or unknown."""
    models: int

    def envelope(self) -> dict[str, Any]:
        return {
            "before": self.before,
            "after": self.after,
            "models": self.models,
            "added": list(self.added),
            "removed": list(self.removed),
            "dearer": list(self.dearer),
            "cheaper": list(self.cheaper),
            "changed": list(self.other),
        }


def install(body: bytes, folder: Path, name: str = "the new file") -> Changes:
    """Puts the file into the book's `folder`, for every process from the next look-up on.

    `name` is what it is called where it came from. ConfigError where it is no price file: nothing is
    changed then. StorageError for the disk.
    """
    if len(body) > MOST_BYTES:
        raise ConfigError(f"{name}: not a price file: {len(body):,} bytes")
    try:
        private_folder(folder)
        with tempfile.TemporaryDirectory(prefix=".update-", dir=folder) as room:
            # Not by the name that a book may replace with the installed prices.
            draft = Path(room) / "draft.json"
            with draft.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            draft.chmod(0o600)
            try:
                found = changes(PriceBook(folder), PriceBook(Path(room), source=draft))
            except ConfigError as error:
                said = error.message.replace(f": {draft}", "")
                raise ConfigError(
                    f"{name}: {said}", hint="it has to be in litellm's format; the old one stays"
                ) from None
            draft.replace(folder / FETCHED)
            return found
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}", hint="choose another folder with --home") from None


def changes(before: PriceBook, after: PriceBook) -> Changes:
    """What the second book says otherwise. ConfigError where one of them cannot be read."""
    new = _prices(after)
    if not any(new.values()):
        raise ConfigError("not a price file: no chat model in it has a price")
    old = _prices(before)
    both = [name for name in new if name in old and new[name] != old[name]]
    dearer = {name for name in both if _sum(new[name]) > _sum(old[name])}
    cheaper = {name for name in both if _sum(new[name]) < _sum(old[name])}
    other = {name for name in both if new[name] is None or old[name] is None}
    other |= {name for name in both if name not in dearer | cheaper}
    return Changes(
        before.snapshot,
        after.snapshot,
        tuple(sorted(new.keys() - old.keys())),
        tuple(sorted(old.keys() - new.keys())),
        tuple(sorted(dearer - other)),
        tuple(sorted(cheaper - other)),
        tuple(sorted(other)),
        len(new),
    )


def _prices(book: PriceBook) -> Mapping[str, Price | None]:
    return {name: read_entry(entry, name) for name, entry in book.models()}


def _sum(price: Price | None) -> float:
    return float(price.base.input + price.base.output) if price else 0.0
