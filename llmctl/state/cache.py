"""Answers on disk: diskcache with a Disk that knows texts alone.

No value is ever unpickled: every storage mode but raw and text is a miss, keys and values are
texts, and each value carries its own BLAKE2b checksum, so that a cut or changed entry is a miss.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from llmctl.core.canonical import digest, parts
from llmctl.core.errors import StorageError
from llmctl.core.files import private_file, private_folder
from llmctl.core.model import Request, Response, Usage
from llmctl.state.sieve import MOST, Sieve
from llmctl.state.text_disk import text_disk

if TYPE_CHECKING:
    from llmctl.state.sealed import Seal

SUM = 32
MODE_RAW = 1
"""How diskcache marks a value that stands in the table as it is."""
LOCKED_S = 0.5
"""How long a locked cache is waited for before the call goes on without it."""
GATHERED_S, GATHERED = 1.0, 2_000
MOST_WAITING, LAST_TRIES = 10_000, 5
"""Answers that are kept while another process holds the lock; how often they are tried at the end."""
"""How long grouped entries wait, and how many: a large group costs two thirds of a small one an entry."""
CULL_EVERY = 5_000
"""Grouped entries between two looks at what has expired and at the size."""
TWO_DIGITS = re.compile(r"[0-9a-f]{2}")
IN_FILES = 32_768
"""Characters from which diskcache keeps a value in a file of its own, whose name it gives."""
FIND = """
    SELECT mode, value FROM Cache WHERE key = ? AND raw = 1 AND (expire_time IS NULL OR expire_time > ?)
"""
NEWEST = """
    SELECT key, value FROM Cache WHERE raw = 1 AND mode = 1 AND (expire_time IS NULL OR expire_time > ?)
    ORDER BY store_time DESC LIMIT ?
"""
ADD = """
    INSERT INTO Cache (key, raw, store_time, expire_time, access_time, size, mode, value)
    VALUES (?, 1, ?, ?, ?, 0, 1, ?) ON CONFLICT (key, raw) DO NOTHING
"""
"""In diskcache's own tables (5.6), at a third of what `get` and `set` take for one small text."""
ASKED = "asked"
DESCRIBED = 1_000
APART_S = 1e-6
"""Between the ends of a group's entries: diskcache removes a hundred at a time, and then what ends later."""
STORED = ("text", "model", "finish_reason", "reasoning", "tool_calls", "parsed", "cost", "warnings", "body")
_stored = attrgetter(*STORED)


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
        seal: Callable[[], Seal] | None = None,
    ) -> None:
        """`group`: what is set waits for `tick` or `flush`, which write it in one transaction.

        `seal`: entries are encrypted by it, and kept under names that only it knows.
        """
        self.folder = folder
        self.ttl = ttl
        self.max_bytes = max_bytes
        self._warn = warn
        self._store: Any = None
        self._broken = False
        self._group = group
        self._waiting: dict[str, str] = {}
        self._many = GATHERED
        self._due = 0.0
        self._view: sqlite3.Connection | None = None
        """In a group: where a look into the cache is open. All looks until the next tick see one state of it,
        since opening and closing one for each takes longer than looking."""
        self._sieve: Sieve | None = None
        """In a group, as long as no other process writes: what may be there at all."""
        self._sifts = group
        self._written = 0
        self._parts: dict[str, dict[str, Any]] = {}
        self._described = 0
        self._make_seal = seal
        self._made: Seal | None = None

    @property
    def _seal(self) -> Seal | None:
        if self._made is None and self._make_seal is not None:
            self._made = self._make_seal()
        return self._made

    def get(self, key: str) -> Response | None:
        """The stored answer, or None: not there, expired, damaged, or the cache is out of order."""
        name = self._name(key)
        value: object = self._waiting.get(name)
        if value is None:
            if self._group and not self._may_hold(name):
                return None
            value = self._try(self._find, name)
        if self._seal is not None and isinstance(value, str):
            value = self._seal.open(value, name)
        return unpack(value, name) if isinstance(value, str) else None

    def set(self, key: str, response: Response, request: Request | None = None) -> None:
        """A batch describes only its first requests: `explain` is for looks, and rows are many."""
        if request is not None and (not self._group or self._described < DESCRIBED):
            self._described += 1
            self._parts[key] = parts(request)
        name, value = self._packed(key, response)
        if self._group:
            self._waiting[name] = value
        else:
            self._try(lambda store, name: store.set(name, value, expire=self.ttl), name)

    def _name(self, key: str) -> str:
        """Under which name an answer is kept."""
        return key if self._seal is None else self._seal.name(key)

    def _packed(self, key: str, response: Response) -> tuple[str, str]:
        """Under which name, and how, it is kept."""
        name = self._name(key)
        text = pack(response, name, self._parts.pop(key, None))
        return name, text if self._seal is None else self._seal.close(text, name)

    def tick(self) -> None:
        """Writes what `set` has gathered, where it is much or has waited for long."""
        self._close_view()
        if len(self._waiting) >= self._many or time.monotonic() >= self._due:
            self.flush()

    def flush(self) -> None:
        """Writes what `set` has gathered; kept for the next time where another process holds the lock."""
        self._due = time.monotonic() + GATHERED_S
        gathered, self._waiting = self._waiting, {}
        self._many = GATHERED
        if gathered and self._try(self._write, gathered) is None and not self._broken:
            if len(gathered) < MOST_WAITING:
                self._waiting = gathered
            self._many = len(self._waiting) + GATHERED  # not at once: each try waits for the lock

    def _find(self, store: Any, name: str) -> object:
        looked = (self._view or self._open_view(store)).execute if self._group else store._sql
        found = looked(FIND, (name, time.time())).fetchone()
        if found is None or found[0] == MODE_RAW:
            return found and found[1]
        return store.get(name)

    def _may_hold(self, name: str) -> bool:
        if self._view is None:
            self._try(self._begin_look)
        return self._sieve is None or name in self._sieve

    def _begin_look(self, store: Any) -> None:
        """Opens the view, and drops the sieve for good where another process has written."""
        if self._sifts:
            version = store._con.execute("PRAGMA data_version").fetchone()[0]
            if self._sieve is None and len(store) <= MOST:
                names = store._sql("SELECT key FROM Cache WHERE raw = 1")
                self._sieve = Sieve((name for (name,) in names), version)
            elif self._sieve is None or self._sieve.version != version:
                self._sieve, self._sifts = None, False
        self._open_view(store)

    def _open_view(self, store: Any) -> sqlite3.Connection:
        view: sqlite3.Connection = store._con
        view.execute("BEGIN")
        self._view = view
        return view

    def _close_view(self) -> None:
        view, self._view = self._view, None
        if view is not None and view.in_transaction:
            view.execute("COMMIT")

    def _write(self, store: Any, gathered: Mapping[str, str]) -> bool:
        now = time.time()
        ends = None if self.ttl is None else now + self.ttl
        small = [
            (name, now, ends and ends + place * APART_S, now, text)
            for place, (name, text) in enumerate(sorted(gathered.items()))
            if len(text) < IN_FILES
        ]
        with store.transact():
            added = store._con.executemany(ADD, small).rowcount if small else 0
            rest = gathered if added < len(small) else gathered.keys() - {row[0] for row in small}
            for name in rest:  # in a file of their own, or there already
                store.set(name, gathered[name], expire=self.ttl)
        if self._sieve is not None:
            for name in gathered:
                self._sieve.add(name)
        self._written += len(gathered)
        if self._written >= CULL_EVERY:
            self._written = 0
            store.expire()
            store.cull()
        return True

    def described(self, most: int) -> Iterator[Mapping[str, Any]]:
        """The parts of the requests whose answers are stored, the newest first."""
        rows = self._try(lambda store: store._sql(NEWEST, (time.time(), most)).fetchall()) or []
        for name, value in rows:
            text = value if self._seal is None else self._seal.open(value, name)
            if text is None or unpack(text, name) is None:
                continue
            if asked := orjson.loads(text[SUM:]).get(ASKED):
                yield asked

    def remove(self, key: str) -> bool:
        return bool(self._try(lambda store, name: store.delete(name), self._name(key)))

    def clear(self) -> int:
        """Removes all entries and says how many there were; a cache that cannot be read goes as a whole."""
        self._warn = lambda _: None
        count = int(self._try(lambda store: store.clear()) or 0)
        if self._broken:
            self.close()
            _remove(self.folder)
            self._broken = False
        return count

    def forget(self, *, before: float | None = None, requests: Collection[str] | None = None) -> int:
        """Removes entries for good, from the files' free pages too, and says how many.

        Those stored before then (Unix seconds), or those of requests by the first half of their
        fingerprints; all of them where neither is given, also where the cache cannot be read any more.
        """
        if before is None and requests is None:
            import shutil

            gone = self.clear()
            self.close()
            shutil.rmtree(self.folder, ignore_errors=True)
            return gone
        sealed = requests is not None and self._seal is not None
        named = {self._name(request) if sealed else request for request in requests or ()}

        def goes(name: str, stored: float) -> bool:
            return stored < before if before is not None else (name if sealed else name[:32]) in named

        return int(self._try(lambda store: _forget(store, goes)) or 0)

    def prune(self) -> int:
        """Removes what has expired and what is over the size limit."""
        return int(self._try(lambda store: store.expire() + (store.cull() or 0)) or 0)

    def stats(self) -> dict[str, Any]:
        """Entries, bytes and folder."""
        count = self._try(len) or 0
        size = self._try(lambda store: store.volume()) or 0
        return {"entries": count, "bytes": size, "max_bytes": self.max_bytes, "folder": str(self.folder)}

    def close(self) -> None:
        for _ in range(LAST_TRIES):
            self.flush()
            if not self._waiting:
                break
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
            if self._view is not None and use != self._find:
                self._close_view()
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


def _remove(folder: Path) -> None:
    """Deletes what diskcache made in the folder: its tables, and its values in folders of two digits."""
    import shutil

    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink() and TWO_DIGITS.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.startswith("cache.db"):
            with suppress(OSError):
                path.unlink()


def _open(folder: Path, max_bytes: int, *, culling: bool) -> Any:
    import diskcache

    private_folder(folder)
    try:
        private_file(folder / "cache.db", make=True)
    except StorageError as error:  # somebody else's: a cache out of order, no reason to stop
        raise ValueError(error.message) from None
    store = diskcache.Cache(
        str(folder),
        timeout=LOCKED_S,
        disk=text_disk(),
        size_limit=max_bytes,
        eviction_policy="least-recently-stored",
        statistics=0,
        cull_limit=10 if culling else 0,  # in groups, `_write` culls now and then instead of at every set
        sqlite_cache_size=2048,  # pages of 4 KB, filled by some 10,000 answers; the default would be 32 MB
        sqlite_mmap_size=0,
    )
    for name in ("cache.db", "cache.db-wal", "cache.db-shm"):
        private_file(folder / name)
    return store


def _forget(store: Any, goes: Callable[[str, float], bool]) -> int:
    store._sql("PRAGMA secure_delete = ON")
    names = [name for name, stored in store._sql("SELECT key, store_time FROM Cache") if goes(name, stored)]
    with store.transact():
        for name in names:
            store.delete(name)
    store._sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return len(names)


def pack(response: Response, name: str, asked: Mapping[str, Any] | None = None) -> str:
    """Checksum over the entry's name and the JSON, then the JSON; `asked` are the request's parts."""
    fields = dict(zip(STORED, _stored(response), strict=True))
    if asked is not None:
        fields[ASKED] = asked
    fields["usage"] = response.usage._asdict()
    data = orjson.dumps(fields)
    return digest(name.encode() + data)[:SUM] + data.decode()


def unpack(value: str, name: str) -> Response | None:
    """The answer of a stored text, None where the checksum, the name or the form is wrong."""
    data = value[SUM:].encode("utf-8", "replace")
    if digest(name.encode() + data)[:SUM] != value[:SUM]:
        return None
    try:
        fields = orjson.loads(data)
        fields.pop(ASKED, None)
        usage = Usage(**fields.pop("usage"))
        for name in ("tool_calls", "warnings"):
            fields[name] = tuple(fields[name])
        return Response(usage=usage, **fields)
    except (ValueError, TypeError, KeyError):
        return None
