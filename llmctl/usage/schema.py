"""The ledger's tables, by version: each migration is applied once, under a lock."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmctl.core.errors import StorageError
from llmctl.core.files import private_descriptor, private_file, private_folder
from llmctl.usage import histogram, peaks, rollup

WAIT_S = 15.0
"""How long a locked ledger is waited for."""
PAUSE_S = 0.02

MIGRATIONS = (
    """
    CREATE TABLE calls (
        id INTEGER PRIMARY KEY,        -- milliseconds << 21 | process, count: grows with time
        at REAL NOT NULL,              -- Unix seconds, when it began
        run TEXT NOT NULL,
        profile TEXT NOT NULL,
        model TEXT NOT NULL,           -- that answered, else that was asked
        asked TEXT NOT NULL,
        provider TEXT NOT NULL,
        tag TEXT,
        status TEXT NOT NULL,          -- ok, failed
        error TEXT,
        finish TEXT,
        input_tokens INTEGER NOT NULL DEFAULT 0,
        output_tokens INTEGER NOT NULL DEFAULT 0,
        cached_tokens INTEGER NOT NULL DEFAULT 0,
        cache_write_tokens INTEGER NOT NULL DEFAULT 0,
        reasoning_tokens INTEGER NOT NULL DEFAULT 0,
        estimated INTEGER NOT NULL DEFAULT 0,
        cost INTEGER,                  -- nano-dollars; NULL: unknown
        saved INTEGER,
        billed TEXT NOT NULL,          -- no, yes, unknown
        hit TEXT,                      -- exact, semantic, shared
        attempts INTEGER NOT NULL,
        latency REAL NOT NULL,         -- seconds
        ttft REAL,
        prices TEXT,                   -- the price file's version
        request_hash TEXT NOT NULL,
        prompt_chars INTEGER NOT NULL,
        answer_hash TEXT,
        answer_chars INTEGER,
        more TEXT                      -- rarer kinds of tokens by name, as JSON; NULL: none
    );
    CREATE INDEX calls_at ON calls (at);
    CREATE TABLE attempts (
        id INTEGER PRIMARY KEY,
        call INTEGER NOT NULL,
        at REAL NOT NULL,
        run TEXT NOT NULL,
        profile TEXT NOT NULL,
        model TEXT NOT NULL,
        provider TEXT NOT NULL,
        tag TEXT,
        state TEXT NOT NULL,           -- sent, ok, failed
        error TEXT,
        http_status INTEGER,
        billed TEXT NOT NULL,
        cost INTEGER,
        latency REAL,
        pid INTEGER NOT NULL
    );
    CREATE INDEX attempts_failed ON attempts (call) WHERE state <> 'ok';
    CREATE INDEX attempts_open ON attempts (state) WHERE state = 'sent';
    """,
    "",  # kept sums that told less than those of the version after it
    f"""
    DROP TABLE IF EXISTS errors;
    DROP TABLE IF EXISTS runs;
    DROP TABLE IF EXISTS slots;
    DROP TABLE IF EXISTS kinds;
    {rollup.TABLES}
    {rollup.REBUILD}
    """,
    "ALTER TABLE calls ADD COLUMN template TEXT",  # the name of the one that made the messages
    rollup.REBUILD,  # a `purge` beside a batch could leave its later sums without a kind, or under another
)


def connect(path: Path) -> sqlite3.Connection:
    """The ledger, made or brought up to date. StorageError where it is corrupt, locked or unwritable."""
    private_folder(path.parent, link=True)
    private_file(path, make=True)
    try:
        db = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
        _register(db)
        if version(db) != len(MIGRATIONS):
            _migrate(db, path)
        db.execute("PRAGMA synchronous = NORMAL")
        return db
    except sqlite3.Error as error:
        raise fault(path, error) from None
    finally:
        for suffix in ("", "-wal", "-shm"):
            private_file(path.with_name(path.name + suffix))


@contextmanager
def reading(path: Path, *, spill: bool = False) -> Iterator[sqlite3.Connection]:
    """One consistent view of an existing ledger; nothing in it is changed but its version.

    `spill`: what has to be sorted goes to temporary files, so that memory does not grow with the calls.
    StorageError where it is corrupt, locked or of a newer version.
    """
    try:
        db = _open_to_read(path)
        db.execute(f"PRAGMA temp_store = {'FILE' if spill else 'MEMORY'}")
        try:
            db.execute("BEGIN")
            yield db
        finally:
            db.close()
    except sqlite3.Error as error:
        raise fault(path, error) from None


def _open_to_read(path: Path) -> sqlite3.Connection:
    private_file(path)
    address = f"{path.absolute().as_uri()}?mode=ro"
    db = sqlite3.connect(address, timeout=WAIT_S, isolation_level=None, uri=True)
    if version(db) != len(MIGRATIONS):
        db.close()
        connect(path).close()
        db = sqlite3.connect(address, timeout=WAIT_S, isolation_level=None, uri=True)
    _register(db)
    return db


def _register(db: sqlite3.Connection) -> None:
    histogram.register(db)
    peaks.register(db)


def version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    """One process at a time brings the tables up to date; the others wait and find it done."""
    lock = private_descriptor(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR)
    try:
        _wait_for(lock, path)
        found = version(db)
        if found > len(MIGRATIONS):
            raise StorageError(
                f"{path}: written by a newer llmctl (version {found})",
                hint="update llmctl, or choose another --home",
            )
        _write_ahead(db)
        for number in range(found, len(MIGRATIONS)):
            db.executescript(
                f"BEGIN IMMEDIATE; {MIGRATIONS[number]}; PRAGMA user_version = {number + 1}; COMMIT;"
            )
    finally:
        os.close(lock)


def _wait_for(lock: int, path: Path) -> None:
    """The file lock, waited for as long as a locked ledger is."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise _locked(path) from None
            time.sleep(PAUSE_S)


def _write_ahead(db: sqlite3.Connection) -> None:
    """The change of journal that SQLite does not wait for by itself while others read."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(PAUSE_S)


def fault(path: Path, error: sqlite3.Error) -> StorageError:
    """What went wrong with the ledger, for people."""
    said = str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _locked(path)
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT) or any(
        sign in said for sign in ("no such table", "no such column", "already exists")
    ):
        return StorageError(
            f"{path}: the ledger is damaged ({said})",
            hint="keep the file, move it away and restore a copy, or start a new one with another --home",
        )
    if code == sqlite3.SQLITE_FULL:
        return StorageError(f"{path}: the disk is full", hint="make room, then run the same command again")
    return StorageError(f"{path}: {said}", hint="check the folder's permissions and free space")


def _locked(path: Path) -> StorageError:
    return StorageError(
        f"{path}: locked by another process for {WAIT_S:g} s", hint="try again when it has ended"
    )
