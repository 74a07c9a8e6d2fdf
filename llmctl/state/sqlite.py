"""State in one file that all processes on this machine share."""

from __future__ import annotations

import os
import sqlite3
from _thread import allocate_lock
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

from llmctl.state import database, owner
from llmctl.state.base import (
    KEPT_S,
    LARGEST,
    LOST_AFTER_S,
    SLACK_S,
    Account,
    Full,
    Held,
    Traded,
    admit,
    beyond,
    clamp,
)  # fmt: skip

MIGRATIONS = (
    """
    CREATE TABLE counters (
        key TEXT PRIMARY KEY,
        value INTEGER NOT NULL,
        expires REAL                   -- Unix seconds; NULL: never
    ) WITHOUT ROWID;
    CREATE TABLE holds (
        id INTEGER PRIMARY KEY,        -- chance: a number is never used twice
        owner TEXT NOT NULL,
        state TEXT NOT NULL,           -- held, sent, lost
        amount INTEGER NOT NULL,       -- counted in each of keys
        keys TEXT NOT NULL,            -- JSON
        expires REAL NOT NULL
    );
    """,
)
CHECKPOINT_PAGES = 4000
"""16 MB of journal before it is worked into the file, which is the one time that the disk is waited for."""

GET = "SELECT value, expires FROM counters WHERE key = ?"
FIND = "SELECT key, value FROM counters WHERE key >= ? AND key < ? AND (expires IS NULL OR expires > ?)"
LAST = "\U0010ffff"
PUT = """
    INSERT INTO counters (key, value, expires) VALUES (?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires
"""
CHANGE = """
    UPDATE counters SET value = max(-9223372036854775807, min(value + ?, 9223372036854775807))
    WHERE key = ? RETURNING value
"""
HOLD = "INSERT INTO holds (id, owner, state, amount, keys, expires) VALUES (?, ?, ?, ?, ?, ?)"
AMOUNT = "SELECT amount FROM holds WHERE id = ?"
STANDS = "UPDATE holds SET amount = ?, state = 'sent', expires = ? WHERE id = ?"
SENT = "UPDATE holds SET state = 'sent', expires = ? WHERE id = ? AND state IN ('held', 'sent')"


class SqliteState:
    """Implements `core.ports.State` on one file, opened at the first use; `now` gives Unix seconds."""

    def __init__(self, path: Path, now: Callable[[], float], wait: float = database.WAIT_S) -> None:
        self.path = path
        self.wait = wait
        self._now = now
        self._db: sqlite3.Connection | None = None
        self._pid = 0
        self._owner = ""
        self._lock = allocate_lock()

    def get(self, key: str) -> int | None:
        with self._reading() as db:
            return self._live(db, key)[0]

    def set(self, key: str, value: int, *, ttl: float | None = None) -> None:
        with self._writing() as db:
            db.execute(PUT, (key, clamp(value), None if ttl is None else self._now() + ttl))

    def delete(self, key: str) -> None:
        with self._writing() as db:
            db.execute("DELETE FROM counters WHERE key = ?", (key,))

    def add(
        self, key: str, amount: int, *, ceiling: int | None = None, ttl: float | None = None
    ) -> int | None:
        with self._writing() as db:
            value, expires = self._live(db, key)
            end = None if ttl is None else self._now() + ttl
            if value is not None and end is not None and expires is not None and expires > end + SLACK_S:
                value = None
            if beyond(clamp(amount), value or 0, ceiling):
                return None
            new = clamp((value or 0) + clamp(amount))
            db.execute(PUT, (key, new, end if value is None else expires))
            return new

    def hold(
        self, accounts: Sequence[Account], amount: int, lease: float, *, sent: bool = False
    ) -> int | Full:
        amount = clamp(amount)
        with self._writing() as db:
            full = self._refusal(db, accounts, amount)
            if full is not None and self._sweep(db):
                full = self._refusal(db, accounts, amount)
            if full is not None:
                return full
            for account in accounts:
                self._count(db, account, amount)
            state, expires = ("sent", LOST_AFTER_S) if sent else ("held", lease)
            return self._begin(db, accounts, amount, state, expires)

    def _begin(
        self, db: sqlite3.Connection, accounts: Sequence[Account], amount: int, state: str, expires: float
    ) -> int:
        number = int.from_bytes(os.urandom(8)) >> 1
        keys = orjson.dumps([account.key for account in accounts]).decode()
        db.execute(HOLD, (number, self._owner, state, amount, keys, self._now() + expires))
        return number

    def sent(self, hold: int) -> bool:
        with self._writing(at_once=True) as db:
            return db.execute(SENT, (self._now() + LOST_AFTER_S, hold)).rowcount == 1

    def settle(self, hold: int, actual: int) -> Mapping[str, int]:
        with self._writing() as db:
            found = db.execute("DELETE FROM holds WHERE id = ? RETURNING amount, keys", (hold,)).fetchone()
            if found is None:
                return {}
            return _change(db, orjson.loads(found[1]), clamp(actual) - found[0])

    def trade(
        self, hold: int, accounts: Sequence[Account], wanted: Sequence[int], *, back: int = 0, spent: int = 0
    ) -> Traded:
        wanted = [clamp(amount) for amount in wanted]
        with self._writing() as db:
            standing = db.execute(AMOUNT, (hold,)).fetchone() if hold else None
            left, change = (0, 0) if standing is None else (standing[0] - back, clamp(spent) - back)
            taken, values, full = self._admit(db, accounts, wanted, change)
            more = sum(amount for amount, took in zip(wanted, taken, strict=True) if took)
            if change + more:
                for account in accounts:
                    values[account.key] = self._count(db, account, change + more)
            if left + more <= 0:
                db.execute("DELETE FROM holds WHERE id = ?", (hold,))
                return Traded(0, taken, values, full)
            if standing is None:
                hold = self._begin(db, accounts, more, "sent", LOST_AFTER_S)
            else:
                db.execute(STANDS, (left + more, self._now() + LOST_AFTER_S, hold))
            return Traded(hold, taken, values, full)

    def _admit(
        self, db: sqlite3.Connection, accounts: Sequence[Account], wanted: Sequence[int], change: int
    ) -> tuple[list[bool], dict[str, int], Full | None]:
        """Which amounts fit once `change` is counted; what dead processes held makes room first."""
        values = {a.key: (self._live(db, a.key)[0] or 0) + change for a in accounts}
        taken, full = admit(accounts, values, wanted)
        if full is not None and self._sweep(db):
            values = {a.key: (self._live(db, a.key)[0] or 0) + change for a in accounts}
            taken, full = admit(accounts, values, wanted)
        return taken, values, full

    def held(self) -> list[Held]:
        with self._writing() as db:
            self._sweep(db)
            rows = db.execute("SELECT keys, amount, state FROM holds WHERE state <> 'lost'").fetchall()
        return [Held(tuple(orjson.loads(keys)), amount, state == "sent") for keys, amount, state in rows]

    def find(self, prefix: str) -> Mapping[str, int]:
        with self._reading() as db:
            return dict(db.execute(FIND, (prefix, prefix + LAST, self._now())).fetchall())

    def close(self) -> None:
        with self._lock:
            if self._db is not None and self._pid == os.getpid():
                self._db.close()
            self._db = None

    def _live(self, db: sqlite3.Connection, key: str) -> tuple[int | None, float | None]:
        """Value and end of a counter; None where there is none, or its time is over."""
        found = db.execute(GET, (key,)).fetchone()
        if found is None or (found[1] is not None and found[1] <= self._now()):
            return None, None
        return found[0], found[1]

    def _refusal(self, db: sqlite3.Connection, accounts: Sequence[Account], amount: int) -> Full | None:
        for account in accounts:
            value = self._live(db, account.key)[0] or 0
            if beyond(amount, value, min(account.ceiling, LARGEST)):
                return Full(account, value)
        return None

    def _count(self, db: sqlite3.Connection, account: Account, amount: int) -> int:
        """The new value."""
        changed = _change(db, [account.key], amount)
        if not changed:
            db.execute(PUT, (account.key, amount, None if account.until is None else account.until + KEPT_S))
        return changed.get(account.key, amount)

    def _sweep(self, db: sqlite3.Connection) -> bool:
        """Takes back what dead processes and lapsed leases hold and have not sent. True: there was some.

        What they had sent is marked as lost: it stays counted, and may still be settled for a while.
        """
        now = self._now()
        freed = False
        dead: dict[str, bool] = {}
        rows = db.execute("SELECT id, owner, state, amount, keys, expires FROM holds").fetchall()
        for number, of, state, amount, keys, expires in rows:
            if expires > now and (state == "lost" or not dead.setdefault(of, owner.is_dead(of))):
                continue
            if state == "sent":
                db.execute(
                    "UPDATE holds SET state = 'lost', expires = ? WHERE id = ?", (now + LOST_AFTER_S, number)
                )
                continue
            db.execute("DELETE FROM holds WHERE id = ?", (number,))
            if state == "held":
                _change(db, orjson.loads(keys), -amount)
                freed = True
        db.execute("DELETE FROM counters WHERE expires <= ?", (now,))
        return freed

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._open()
            except sqlite3.Error as error:
                raise database.fault(self.path, error, self.wait) from None

    @contextmanager
    def _writing(self, *, at_once: bool = False) -> Iterator[sqlite3.Connection]:
        """All that is done inside, or nothing; `at_once`: it is one statement, a transaction by itself."""
        with self._reading() as db:
            if at_once:
                yield db
                return
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:  # Ctrl-C too: nothing may stay half written
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _open(self) -> sqlite3.Connection:
        """The connection; a process that was forked opens its own."""
        if self._db is None or self._pid != os.getpid():
            self._db = database.connect(self.path, MIGRATIONS, self.wait)
            self._db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            self._pid = os.getpid()
            self._owner = owner.me()
        return self._db


def _change(db: sqlite3.Connection, keys: Sequence[str], by: int) -> dict[str, int]:
    """Adds to the counters that there are, and gives their new values."""
    found = {}
    for key in keys:
        rows = db.execute(CHANGE, (by, key)).fetchall()
        if rows:
            found[key] = rows[0][0]
    return found
