"""litellm's price file as an sqlite index, so that one look-up does not parse three megabytes.

The index is a copy that may be thrown away at any time: built beside its place and renamed, so
that processes that build it at once each put a whole one there, and read without any lock.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llmctl.core.errors import ConfigError, StorageError
from llmctl.core.files import private_folder

if TYPE_CHECKING:
    import sqlite3

Entry = Mapping[str, Any]
Row = tuple[str, Entry]

FORMAT = 1
"""Of the tables below; another number rebuilds the index."""

NOT_MODELS = frozenset({"sample_spec", "fallback_generalizations"})


@dataclass(frozen=True, slots=True)
class Facts:
    """About the file: its short id and date, and litellm's rules (pattern, provider) for new names."""

    snapshot: str
    routes: tuple[tuple[str, str], ...]


class Index(Protocol):
    """The entries by their names in the file, upper and lower case alike."""

    facts: Facts

    def find(self, names: Sequence[str]) -> list[Row]:
        """Those of the names that are there, in the order of `names`."""
        ...

    def names(self) -> list[str]: ...

    def rows(self) -> Iterator[Row]: ...


class MemoryIndex:
    """The file itself, parsed: where the index can be neither read nor written."""

    def __init__(self, entries: Mapping[str, Entry], facts: Facts) -> None:
        self.facts = facts
        self._rows = {name.lower(): (name, entry) for name, entry in entries.items()}

    def find(self, names: Sequence[str]) -> list[Row]:
        return [self._rows[name] for name in _lowered(names) if name in self._rows]

    def names(self) -> list[str]:
        return [name for name, _ in self._rows.values()]

    def rows(self) -> Iterator[Row]:
        yield from self._rows.values()


class SqliteIndex:
    """The same out of the index file. Raises sqlite3.Error or ValueError where it is broken."""

    def __init__(self, path: Path, stamp: str) -> None:
        self._db = _open(path)
        known = dict(self._db.execute("SELECT key, value FROM facts"))
        if known.get("stamp") != stamp:
            self.close()
            raise ValueError("made from another file")
        self.facts = Facts(known["snapshot"], tuple((a, b) for a, b in json.loads(known["routes"])))

    def find(self, names: Sequence[str]) -> list[Row]:
        keys = _lowered(names)
        marks = ",".join("?" * len(keys))
        found = {
            key: (name, json.loads(body))
            for key, name, body in self._db.execute(
                f"SELECT key, name, body FROM entries WHERE key IN ({marks})",  # noqa: S608 - only marks
                keys,
            )
        }
        return [found[key] for key in keys if key in found]

    def names(self) -> list[str]:
        return [name for (name,) in self._db.execute("SELECT name FROM entries ORDER BY key")]

    def rows(self) -> Iterator[Row]:
        for name, body in self._db.execute("SELECT name, body FROM entries ORDER BY key"):
            yield name, json.loads(body)

    def close(self) -> None:
        self._db.close()


def open_index(source: Path, folder: Path, *, fresh: bool = False) -> Index:
    """The index of a price file, kept as `folder/prices.db`: the one there, else a new one.

    `fresh` takes none that is there. ConfigError where the file cannot be read or is none.
    """
    import sqlite3

    path = folder / "prices.db"
    stamp = _stamp(source)
    if not fresh:
        try:
            return SqliteIndex(path, stamp)
        except (sqlite3.Error, ValueError, KeyError, TypeError):
            pass  # absent, older than the file, or broken: it is made anew
    entries, facts = load(source)
    try:
        _build(path, stamp, entries, facts)
        return SqliteIndex(path, stamp)
    except (OSError, StorageError, sqlite3.Error, ValueError, KeyError, TypeError):
        return MemoryIndex(entries, facts)  # a folder that cannot be written costs time, not the answer


def load(source: Path) -> tuple[dict[str, Entry], Facts]:
    """The file's entries by name. ConfigError where it cannot be read or holds no models."""
    import hashlib
    from datetime import UTC, datetime

    import orjson

    try:
        body = source.read_bytes()
        made = datetime.fromtimestamp(source.stat().st_mtime, UTC)
        whole = orjson.loads(body)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the price file cannot be read: {source}: {error}", hint=ADVICE) from error
    if not isinstance(whole, dict):
        raise ConfigError(f"the price file holds no models: {source}", hint=ADVICE)
    entries: dict[str, Entry] = {
        name: entry
        for name, entry in whole.items()
        if isinstance(entry, dict) and name not in NOT_MODELS and "litellm_provider" in entry
    }
    if not entries:
        raise ConfigError(f"the price file holds no models: {source}", hint=ADVICE)
    snapshot = f"{made:%Y-%m-%d}.{hashlib.sha256(body).hexdigest()[:8]}"
    return entries, Facts(snapshot, _routes(whole.get("fallback_generalizations")))


ADVICE = "fetch a new one with: llmctl models update"


def _routes(block: object) -> tuple[tuple[str, str], ...]:
    """litellm's rules that name a provider for a model that its file does not know."""
    rules = block.get("rules", ()) if isinstance(block, Mapping) else ()
    found: list[tuple[str, str]] = []
    for rule in rules:
        try:
            pattern, provider = rule["pattern"], rule["model_info"]["litellm_provider"]
            re.compile(pattern)
        except (KeyError, TypeError, re.error):
            continue  # a rule about abilities, or one of a later kind
        found.append((pattern, provider))
    return tuple(found)


def _stamp(source: Path) -> str:
    try:
        found = source.stat()
    except OSError as error:
        raise ConfigError(f"there is no price file at {source}", hint=ADVICE) from error
    return f"{FORMAT}|{source.resolve()}|{found.st_size}|{found.st_mtime_ns}"


def _open(path: Path) -> sqlite3.Connection:
    """Read-only and, since the file is only ever replaced whole, without locks."""
    import sqlite3

    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro&immutable=1",
        uri=True,
        check_same_thread=False,
        isolation_level=None,
    )


def _build(path: Path, stamp: str, entries: Mapping[str, Entry], facts: Facts) -> None:
    import sqlite3
    import tempfile

    private_folder(path.parent)
    handle, draft = tempfile.mkstemp(prefix=".prices-", suffix=".db", dir=path.parent)
    os.close(handle)
    try:
        db = sqlite3.connect(draft, isolation_level=None)
        try:
            _fill(db, stamp, entries, facts)
        finally:
            db.close()
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _fill(db: sqlite3.Connection, stamp: str, entries: Mapping[str, Entry], facts: Facts) -> None:
    """No journal and no syncs: a draft that does not get finished is thrown away."""
    import orjson

    db.executescript(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;"
        "CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE entries (key TEXT PRIMARY KEY, name TEXT NOT NULL, body TEXT NOT NULL);"
    )
    routes = json.dumps(facts.routes)
    db.executemany(
        "INSERT INTO facts VALUES (?, ?)",
        [("stamp", stamp), ("snapshot", facts.snapshot), ("routes", routes)],
    )
    db.executemany(
        "INSERT OR REPLACE INTO entries VALUES (?, ?, ?)",
        ((name.lower(), name, orjson.dumps(entry).decode()) for name, entry in entries.items()),
    )
    db.execute("COMMIT")


def _lowered(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name.lower() for name in names))
