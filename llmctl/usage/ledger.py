"""Writes the ledger: a row for every call, and one for every request before it goes out.

In groups a request that is answered before the group is written has none of its own.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from itertools import count
from operator import attrgetter, itemgetter
from pathlib import Path
from threading import Lock
from typing import Any

from llmctl.core.canonical import digest
from llmctl.core.errors import LlmctlError, StorageError
from llmctl.core.model import Attempt, Message, Request, Response, Usage
from llmctl.core.ports import Clock
from llmctl.usage import rollup
from llmctl.usage.rollup import Cells
from llmctl.usage.schema import connect, fault

CALL = (
    "id", "at", "run", "profile", "model", "asked", "provider", "tag", "status", "error", "finish",
    "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens", "estimated",
    "cost", "saved", "billed", "hit", "attempts", "latency", "ttft", "prices",
    "request_hash", "prompt_chars", "answer_hash", "answer_chars", "more",
    "template",
)  # fmt: skip
ATTEMPT = (
    "call", "at", "run", "profile", "model", "provider", "tag", "state", "error", "http_status", "billed",
    "cost", "latency", "pid",
)  # fmt: skip
# The names in these are ours; values are bound.
INSERT_CALL = f"INSERT INTO calls ({', '.join(CALL)}) VALUES ({', '.join('?' * len(CALL))})"  # noqa: S608
INSERT_ATTEMPT = f"INSERT INTO attempts ({', '.join(ATTEMPT)}) VALUES ({', '.join('?' * len(ATTEMPT))})"  # noqa: S608
SETTLE_ATTEMPT = """
    UPDATE attempts SET state = ?, error = ?, http_status = ?, billed = ?, cost = ?, latency = ?, model = ?
    WHERE id = ?
"""
RARER = tuple(name for name in Usage._fields if name not in CALL)
_rarer = attrgetter(*RARER)
Row = tuple[Any, ...]
_place = itemgetter(*(CALL.index(name) for name in rollup.PLACE))
_amounts = itemgetter(*(CALL.index(name) for name in rollup.AMOUNTS))


class _Waiting:
    """Rows on their way to the file.

    An attempt that fails before it is written is one insert, one that goes well by then none.
    """

    def __init__(self) -> None:
        self.sent: dict[int, tuple[Request, float]] = {}
        """What is out, and since when (Unix seconds): few are when the group is written."""
        self.attempts: list[Row] = []
        self.settled: list[Row] = []
        self.calls: list[Row] = []

    def empty(self) -> bool:
        return not (self.sent or self.attempts or self.settled or self.calls)

    def write(self, db: sqlite3.Connection) -> dict[int, int]:
        """Inside the caller's transaction. Row numbers of what was sent and has not settled."""
        rows = {
            ticket: db.execute(INSERT_ATTEMPT, sent_row(*sent)).lastrowid or 0
            for ticket, sent in self.sent.items()
        }
        db.executemany(INSERT_ATTEMPT, self.attempts)
        db.executemany(SETTLE_ATTEMPT, self.settled)
        db.executemany(INSERT_CALL, self.calls)
        cells: Cells = {}
        for row in self.calls:
            rollup.count(cells, _place(row), _amounts(row))
        rollup.write(db, cells)
        return rows


class SqliteLedger:
    """Implements `core.ports.Ledger` on one file, opened at the first write.

    With `group` rows wait in memory, safe to be added from several threads, until `flush` writes
    all of them in one transaction; without it each is on disk when its method returns. In both
    ways a call's row and its share of the slots (`usage.rollup`) come together or not at all.
    """

    def __init__(
        self, path: Path, clock: Clock, prices: Callable[[], str] = lambda: "", group: bool = False
    ) -> None:
        self.path = path
        self.clock = clock
        self.prices = prices
        self.group = group
        self._db: sqlite3.Connection | None = None
        self._lock = Lock()
        self._waiting = _Waiting()
        self._tickets = count(1)
        self._rows: dict[int, int] = {}
        self._refused = False

    def prepare(self) -> None:
        """Opens the file and sees that it can be written, before anything is paid for. StorageError."""
        with self._lock:
            try:
                if self._db is None:
                    self._db = connect(self.path)
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise fault(self.path, error) from None

    def sent(self, request: Request) -> int:
        """A number for `settled`. Alone, the row is on disk before anything is sent."""
        with self._lock:
            ticket = next(self._tickets)
            self._waiting.sent[ticket] = request, self.clock.now()
            if not self.group:
                try:
                    self._write()
                except StorageError:
                    # It will not be sent, so no trace of it may be written later.
                    self._waiting.sent.pop(ticket, None)
                    self._refused = True
                    raise
        return ticket

    def settled(self, row: int, attempt: Attempt) -> None:
        with self._lock:
            sent = self._waiting.sent.pop(row, None)
            if sent and attempt.error is None:
                return  # its call will tell all of it
            outcome = (
                "ok" if attempt.error is None else "failed", attempt.error, attempt.status, attempt.billed,
                attempt.cost, attempt.latency,
            )  # fmt: skip
            if sent:
                out = sent_row(*sent)
                self._waiting.attempts.append((*out[:4], attempt.model, *out[5:7], *outcome, out[-1]))
            else:
                self._waiting.settled.append((*outcome, attempt.model, self._rows.pop(row)))
            self._written()

    def record(self, request: Request, outcome: Response | LlmctlError, latency: float) -> None:
        if self._refused and isinstance(outcome, LlmctlError) and not outcome.tried:
            return  # it was not sent because the ledger cannot be written: not worth waiting once more
        row = self._row(request, outcome, latency)
        with self._lock:
            self._waiting.calls.append(row)
            self._written()

    def flush(self) -> None:
        """Writes what waits, in one transaction. StorageError keeps it for the next time."""
        with self._lock:
            self._write()

    def close(self) -> None:
        with self._lock:
            try:
                self._write()
            finally:
                if self._db is not None:
                    self._db.close()
                    self._db = None

    def _written(self) -> None:
        if not self.group:
            self._write()

    def _write(self) -> None:
        waiting = self._waiting
        if waiting.empty():
            return
        try:
            if self._db is None:
                self._db = connect(self.path)
            self._db.execute("BEGIN IMMEDIATE")
            try:
                rows = waiting.write(self._db)
                self._db.execute("COMMIT")
            except BaseException:
                # Whatever it was, Ctrl-C too: nothing of it may stay half written.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise fault(self.path, error) from None
        self._rows.update(rows)
        self._waiting = _Waiting()

    def _snapshot(self, billed: str) -> str | None:
        """The price file's version, where a price was asked for."""
        return self.prices() if billed != "no" else None

    def _row(self, request: Request, outcome: Response | LlmctlError, latency: float) -> tuple[Any, ...]:
        failed = outcome if isinstance(outcome, LlmctlError) else None
        answer = outcome if isinstance(outcome, Response) else outcome.response
        usage = answer.usage if answer is not None else Usage()
        tried = outcome.tried
        billed = billed_of(tried)
        target = request.target
        return (
            request.call, max(0.0, self.clock.now() - latency), request.run_id, request.profile,
            answer.model if answer is not None else target.model, target.model, target.provider, request.tag,
            "failed" if failed else "ok", failed.type if failed else None,
            answer.finish_reason if answer else None,
            usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens,
            usage.reasoning_tokens, int(usage.estimated),
            cost_of(outcome), answer.saved if answer is not None else 0, billed,
            answer.cached if answer is not None else None, len(tried), latency,
            answer.ttft if answer is not None else None, self._snapshot(billed),
            request.fingerprint[:32], chars(request.messages),
            digest(answer.text.encode("utf-8", "replace"))[:32] if answer is not None else None,
            len(answer.text) if answer is not None else None, rarer(usage),
            request.template,
        )  # fmt: skip


def sent_row(request: Request, at: float) -> Row:
    """What the ledger knows of a request that is out."""
    target = request.target
    return (
        request.call, at, request.run_id, request.profile, target.model, target.provider,
        request.tag, "sent", None, None, "unknown", None, None, os.getpid(),
    )  # fmt: skip


def rarer(usage: Usage) -> str | None:
    """What of a usage has no column, where there is any of it, as JSON."""
    amounts = _rarer(usage)
    if not any(amounts):
        return None
    return json.dumps({name: amount for name, amount in zip(RARER, amounts, strict=True) if amount})


def cost_of(outcome: Response | LlmctlError) -> int | None:
    """All attempts' money, failed ones too; unknown as soon as one is."""
    if isinstance(outcome, Response):
        return outcome.cost
    costs = [attempt.cost for attempt in outcome.tried]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def billed_of(tried: Sequence[Attempt]) -> str:
    if len(tried) == 1:
        return tried[0].billed
    states = {attempt.billed for attempt in tried}
    return "unknown" if "unknown" in states else "yes" if "yes" in states else "no"


def chars(messages: Sequence[Message]) -> int:
    """Characters of text in the messages."""
    total = 0
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            total += len(content)
        elif isinstance(content, list):
            total += sum(len(part.get("text") or "") for part in content if isinstance(part, dict))
    return total
