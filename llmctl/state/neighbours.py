"""Vectors of prompts whose answers are in the cache, beside it in one SQLite file.

No prompt is kept, but the hashes of its words under a salt of this file, and its vector; where the
cache is encrypted, so are these, and the names they stand under say nothing.
"""

from __future__ import annotations

import os
import sqlite3
from base64 import b85decode, b85encode
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from llmctl.core.canonical import digest
from llmctl.core.errors import StorageError
from llmctl.state.database import connect, fault

if TYPE_CHECKING:
    from llmctl.state.sealed import Seal

FILE = "meaning.db"
MIGRATIONS = (
    """
    CREATE TABLE salt (value BLOB NOT NULL);
    CREATE TABLE prompts (
        name TEXT PRIMARY KEY, scope TEXT NOT NULL, added REAL NOT NULL, until REAL, entry TEXT NOT NULL
    );
    CREATE INDEX by_scope ON prompts (scope, added)
    """,
    "DELETE FROM prompts",  # what is compared has changed
)
WAIT_S = 0.5
WORD = 12
"""Hexadecimal digits kept of a word's hash."""
CROWD = 100_000
"""Prompts from which the oldest are dropped: 300 MB."""
EVERY = 1_000


class Neighbours:
    """Implements `meaning.near.Index`. Faults become one warning, then nothing is near."""

    def __init__(
        self,
        folder: Path,
        now: Callable[[], float],
        ttl: float | None,
        warn: Callable[[str], None],
        seal: Callable[[], Seal] | None = None,
    ) -> None:
        self._path = folder / FILE
        self._now = now
        self._ttl = ttl
        self._warn = warn
        self._make_seal = seal
        self._added = 0
        self._broken = False

    @cached_property
    def _seal(self) -> Seal | None:
        return self._make_seal() if self._make_seal else None

    @cached_property
    def _db(self) -> sqlite3.Connection:
        return connect(self._path, MIGRATIONS, WAIT_S)

    @cached_property
    def _salt(self) -> bytes:
        return self._try(self._salted) or os.urandom(16)

    def _salted(self) -> bytes:
        self._db.execute("INSERT INTO salt SELECT ? WHERE NOT EXISTS (SELECT 1 FROM salt)", (os.urandom(16),))
        salt: bytes = self._db.execute("SELECT value FROM salt").fetchone()[0]
        return salt

    def hashed(self, text: str) -> str:
        return digest(self._salt + text.encode("utf-8", "replace"))[:WORD]

    def of(self, scope: str, most: int) -> Sequence[tuple[str, list[Any], bytes]]:
        rows = self._try(self._rows, self._name(scope), most) or []
        return [found for name, entry in reversed(rows) if (found := self._opened(name, entry))]

    def _rows(self, scope: str, most: int) -> list[tuple[str, str]]:
        return self._db.execute(
            "SELECT name, entry FROM prompts WHERE scope = ? AND (until IS NULL OR until > ?)"
            " ORDER BY added DESC LIMIT ?",
            (scope, self._now(), most),
        ).fetchall()

    def _opened(self, name: str, entry: str) -> tuple[str, list[Any], bytes] | None:
        """None for what was changed by hand or closed with another key."""
        text = entry if self._seal is None else self._seal.open(entry, name)
        try:
            key, marks, vector = orjson.loads(text or "")
            return key, marks, b85decode(vector)
        except (ValueError, TypeError):
            return None

    def add(self, key: str, scope: str, marks: list[Any], vector: bytes) -> None:
        name = self._name(key)
        text = orjson.dumps([key, marks, b85encode(vector).decode()]).decode()
        now = self._now()
        row = (
            name,
            self._name(scope),
            now,
            None if self._ttl is None else now + self._ttl,
            text if self._seal is None else self._seal.close(text, name),
        )
        self._try(lambda: self._db.execute("INSERT OR REPLACE INTO prompts VALUES (?, ?, ?, ?, ?)", row))
        self._added += 1
        if self._added % EVERY == 1:
            self._try(self._thin, now)

    def _thin(self, now: float) -> None:
        """Drops what has expired, and the oldest where there are too many."""
        self._db.execute("DELETE FROM prompts WHERE until < ?", (now,))
        self._db.execute(
            "DELETE FROM prompts WHERE added <"
            " (SELECT added FROM prompts ORDER BY added DESC LIMIT 1 OFFSET ?)",
            (CROWD,),
        )

    def forget(self, key: str) -> None:
        self._try(lambda: self._db.execute("DELETE FROM prompts WHERE name = ?", (self._name(key),)))

    def _name(self, key: str) -> str:
        return key if self._seal is None else self._seal.name(key)

    def close(self) -> None:
        if "_db" in self.__dict__:
            self._db.close()
            del self.__dict__["_db"]

    def _try(self, use: Callable[..., Any], *given: Any) -> Any:
        if self._broken:
            return None
        try:
            return use(*given)
        except sqlite3.Error as error:
            problem = fault(self._path, error, WAIT_S)
        except StorageError as error:
            problem = error
        self._broken = True
        self._warn(f"{problem.message}; going on without answers to nearly equal prompts")
        return None


def clear(folder: Path) -> None:
    """Removes the file, also one that cannot be read any more."""
    for suffix in ("", "-wal", "-shm", ".lock"):
        (folder / (FILE + suffix)).unlink(missing_ok=True)
