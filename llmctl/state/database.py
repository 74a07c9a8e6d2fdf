"""Opens an SQLite file that several processes share: private, versioned, made by one at a time."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from llmctl.core.errors import StorageError
from llmctl.core.files import private_descriptor, private_file, private_folder

WAIT_S = 15.0
"""How long a locked file is waited for."""
PAUSE_S = 0.02


def connect(path: Path, migrations: Sequence[str], wait: float = WAIT_S) -> sqlite3.Connection:
    """The file, made or brought up to date. StorageError where it is corrupt, locked or unwritable.

    A commit outlives the process at once, but not a power cut: that may take the last ones.
    """
    private_folder(path.parent, link=True)
    private_file(path, make=True)
    try:
        db = sqlite3.connect(path, timeout=wait, isolation_level=None, check_same_thread=False)
        if _version(db) != len(migrations):
            _migrate(db, path, migrations, wait)
        db.execute("PRAGMA synchronous = NORMAL")
        return db
    except sqlite3.Error as error:
        raise fault(path, error, wait) from None
    finally:
        for suffix in ("", "-wal", "-shm"):
            private_file(path.with_name(path.name + suffix))


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _migrate(db: sqlite3.Connection, path: Path, migrations: Sequence[str], wait: float) -> None:
    """One process at a time brings the tables up to date; the others wait and find it done."""
    until = time.monotonic() + wait
    lock = private_descriptor(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR)
    try:
        while not _locked(lock):
            if time.monotonic() > until:
                raise _busy(path, wait)
            time.sleep(PAUSE_S)
        found = _version(db)
        if found > len(migrations):
            raise StorageError(
                f"{path}: written by a newer llmctl (version {found})",
                hint="update llmctl, or choose another --home",
            )
        _write_ahead(db, until)
        for number in range(found, len(migrations)):
            db.executescript(
                f"BEGIN IMMEDIATE; {migrations[number]}; PRAGMA user_version = {number + 1}; COMMIT;"
            )
    finally:
        os.close(lock)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_ahead(db: sqlite3.Connection, until: float) -> None:
    """The change of journal that SQLite does not wait for by itself while others read."""
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(PAUSE_S)


def fault(path: Path, error: sqlite3.Error, wait: float = WAIT_S) -> StorageError:
    """What went wrong with the file, for people."""
    said = str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _busy(path, wait)
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT) or any(
        sign in said for sign in ("no such table", "no such column", "already exists")
    ):
        return StorageError(
            f"{path}: damaged ({said})",
            hint="keep the file, move it away and restore a copy, or start anew with another --home",
        )
    if code == sqlite3.SQLITE_FULL:
        return StorageError(f"{path}: the disk is full", hint="make room, then run the same command again")
    return StorageError(f"{path}: {said}", hint="check the folder's permissions and free space")


def _busy(path: Path, wait: float) -> StorageError:
    return StorageError(
        f"{path}: locked by another process for {wait:g} s", hint="try again when it has ended"
    )
