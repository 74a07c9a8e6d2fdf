"""Answers on disk: diskcache with a Disk that knows texts alone.

No value is ever unpickled: every storage mode but raw and text is a miss, keys and values are
texts, and each value carries its own BLAKE2b checksum, so that a cut or changed entry is a miss.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from functools import cache as once
from pathlib import Path
from typing import Any

import orjson

from llmctl.core.canonical import digest
from llmctl.core.model import Response, Usage
from llmctl.state.files import private_file, private_folder

SUM = 32
MODE_RAW = 1
"""How diskcache marks a value that stands in the table as it is."""
LOCKED_S = 0.5
"""How long a locked cache is waited for before the call goes on without it."""
CULL_EVERY = 5_000
"""Grouped entries between two looks at what has expired and at the size."""
IN_FILES = 32_768
"""Characters from which diskcache keeps a value in a file of its own, whose name it gives."""
FIND = """
    SELECT mode, value FROM Cache WHERE key = ? AND raw = 1 AND (expire_time IS NULL OR expire_time > ?)
"""
ADD = """
    INSERT INTO Cache (key, raw, store_time, expire_time, access_time, size, mode, value)
    VALUES (?, 1, ?, ?, ?, 0, 1, ?) ON CONFLICT (key, raw) DO NOTHING
"""
"""In diskcache's own tables (5.6), at a third of what `get` and `set` take for one small text."""
STORED = ("text", "model", "finish_reason", "reasoning", "tool_calls", "parsed", "cost", "warnings", "body")


class AnswerCache:
    """Implements `core.ports.Cache`. Faults become one warning each run, then misses."""

    def __init__(
        self,
        folder: Path,
        ttl: float | None,
        max_bytes: int,
        warn: Callable[[str], None],
        *,
        group: bool = False,
    ) -> None:
        """`group`: what is set waits for `flush`, which writes it in one transaction."""
        self.folder = folder
        self.ttl = ttl
        self.max_bytes = max_bytes
        self._warn = warn
        self._store: Any = None
        self._broken = False
        self._group = group
        self._waiting: dict[str, Response] = {}
        self._written = 0

    def get(self, key: str) -> Response | None:
        """The stored answer, or None: not there, expired, damaged, or the cache is out of order."""
        waiting = self._waiting.get(key)
        if waiting is not None:
            return waiting
        value = self._try(self._find, key)
        return unpack(value) if isinstance(value, str) else None

    def set(self, key: str, response: Response) -> None:
        if self._group:
            self._waiting[key] = response
        else:
            self._try(lambda store, key: store.set(key, pack(response), expire=self.ttl), key)

    def flush(self) -> None:
        """Writes what `set` has gathered."""
        gathered, self._waiting = self._waiting, {}
        if gathered:
            self._try(self._write, gathered)

    def _find(self, store: Any, key: str) -> object:
        found = store._sql(FIND, (key, time.time())).fetchone()
        if found is None or found[0] == MODE_RAW:
            return found and found[1]
        return store.get(key)

    def _write(self, store: Any, gathered: Mapping[str, Response]) -> None:
        now = time.time()
        until = None if self.ttl is None else now + self.ttl
        packed = {key: pack(response) for key, response in gathered.items()}
        small = [(key, now, until, now, text) for key, text in packed.items() if len(text) < IN_FILES]
        with store.transact():
            added = store._con.executemany(ADD, small).rowcount if small else 0
            rest = packed if added < len(small) else packed.keys() - {row[0] for row in small}
            for key in rest:  # in a file of their own, or there already
                store.set(key, packed[key], expire=self.ttl)
        self._written += len(gathered)
        if self._written >= CULL_EVERY:
            self._written = 0
            store.expire()
            store.cull()

    def remove(self, key: str) -> bool:
        return bool(self._try(lambda store, key: store.delete(key), key))

    def clear(self) -> int:
        """Removes all entries and says how many there were."""
        return int(self._try(lambda store: store.clear()) or 0)

    def prune(self) -> int:
        """Removes what has expired and what is over the size limit."""
        return int(self._try(lambda store: store.expire() + (store.cull() or 0)) or 0)

    def stats(self) -> dict[str, Any]:
        """Entries, bytes and folder."""
        count = self._try(len) or 0
        size = self._try(lambda store: store.volume()) or 0
        return {"entries": count, "bytes": size, "max_bytes": self.max_bytes, "folder": str(self.folder)}

    def close(self) -> None:
        self.flush()
        if self._store is not None:
            self._store.close()
            self._store = None

    def _try(self, use: Callable[..., Any], *given: Any) -> Any:
        if self._broken:
            return None
        import diskcache

        try:
            if self._store is None:
                self._store = _open(self.folder, self.max_bytes, culling=not self._group)
            return use(self._store, *given)
        except diskcache.Timeout:
            self._complain("is locked by another process")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                self._broken = True
                self._complain(f"cannot be used ({error})")
            else:
                self._complain("is locked by another process")
        except (sqlite3.Error, OSError, ValueError) as error:
            self._broken = True
            self._complain(f"cannot be used ({error})")
        return None

    def _complain(self, what: str) -> None:
        self._warn(
            f"the cache in {self.folder} {what}; going on without it (llmctl cache clear makes it anew)"
        )
        self._warn = lambda _: None


def _open(folder: Path, max_bytes: int, *, culling: bool) -> Any:
    import diskcache

    private_folder(folder)
    store = diskcache.Cache(
        str(folder),
        timeout=LOCKED_S,
        disk=_text_disk(),
        size_limit=max_bytes,
        eviction_policy="least-recently-stored",
        statistics=0,
        cull_limit=10 if culling else 0,  # in groups, `_write` culls now and then instead of at every set
        sqlite_cache_size=4096,  # pages of 4 KB; the default would fill 32 MB of memory
        sqlite_mmap_size=0,
    )
    for name in ("cache.db", "cache.db-wal", "cache.db-shm"):
        private_file(folder / name)
    return store


@once
def _text_disk() -> type:
    """The Disk class, made when diskcache is first needed."""
    import re

    from diskcache import Disk
    from diskcache.core import MODE_RAW, MODE_TEXT

    own_name = re.compile(r"[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]+\.val\Z")

    class TextDisk(Disk):  # type: ignore[misc]  # diskcache ships no types
        def put(self, key: object) -> tuple[object, bool]:
            if not isinstance(key, str):
                raise ValueError("cache keys are texts")
            return key, True

        def get(self, key: object, raw: object) -> object:
            return key if raw else None

        def store(self, value: object, read: object, key: object = None) -> Any:
            if not isinstance(value, str):
                raise ValueError("cache values are texts")
            return super().store(value, False, key=key)

        def fetch(self, mode: int, filename: str | None, value: object, read: object) -> object:
            if mode == MODE_RAW:
                return value if isinstance(value, str) else None
            if mode == MODE_TEXT and filename and own_name.match(filename):
                return super().fetch(mode, filename, value, False)
            return None

    return TextDisk


def pack(response: Response) -> str:
    """Checksum, then JSON."""
    fields = {name: getattr(response, name) for name in STORED}
    fields["usage"] = {name: getattr(response.usage, name) for name in Usage.__slots__}
    data = orjson.dumps(fields)
    return digest(data)[:SUM] + data.decode()


def unpack(value: str) -> Response | None:
    """The answer of a stored text, None where the checksum or the form is wrong."""
    data = value[SUM:].encode("utf-8", "replace")
    if digest(data)[:SUM] != value[:SUM]:
        return None
    try:
        fields = orjson.loads(data)
        usage = Usage(**fields.pop("usage"))
        for name in ("tool_calls", "warnings"):
            fields[name] = tuple(fields[name])
        return Response(usage=usage, **fields)
    except (ValueError, TypeError, KeyError):
        return None
