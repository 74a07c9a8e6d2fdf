"""Writes the ledger: a row for every call, and one for every request before it goes out."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llmctl.core.canonical import digest
from llmctl.core.errors import LlmctlError
from llmctl.core.model import Attempt, Message, Request, Response, Usage
from llmctl.core.ports import Clock
from llmctl.usage.schema import connect, fault

CALL = (
    "id", "at", "run", "profile", "model", "asked", "provider", "tag", "status", "error", "finish",
    "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens", "estimated",
    "cost", "saved", "billed", "hit", "attempts", "latency", "ttft", "prices",
    "request_hash", "prompt_chars", "answer_hash", "answer_chars",
)  # fmt: skip
INSERT_CALL = f"INSERT INTO calls ({', '.join(CALL)}) VALUES ({', '.join('?' * len(CALL))})"  # noqa: S608  # our own names
INSERT_ATTEMPT = (
    "INSERT INTO attempts (call, at, run, profile, model, provider, tag, state, billed, cost, pid)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, 'sent', 'unknown', NULL, ?)"
)
SETTLE_ATTEMPT = "UPDATE attempts SET state = ?, error = ?, http_status = ?, billed = ?, cost = ?, latency = ?, model = ? WHERE id = ?"


class SqliteLedger:
    """Implements `core.ports.Ledger` on one file, opened at the first write."""

    def __init__(self, path: Path, clock: Clock, prices: Callable[[], str] = lambda: "") -> None:
        self.path = path
        self.clock = clock
        self.prices = prices
        self._db: sqlite3.Connection | None = None

    def sent(self, request: Request) -> int:
        target = request.target
        row = (
            request.call, self.clock.now(), request.run_id, request.profile, target.model, target.provider,
            request.tag, os.getpid(),
        )  # fmt: skip
        return int(self._execute(INSERT_ATTEMPT, row).lastrowid or 0)

    def settled(self, row: int, attempt: Attempt) -> None:
        state = "ok" if attempt.error is None else "failed"
        self._execute(
            SETTLE_ATTEMPT,
            (
                state,
                attempt.error,
                attempt.status,
                attempt.billed,
                attempt.cost,
                attempt.latency,
                attempt.model,
                row,
            ),
        )

    def record(self, request: Request, outcome: Response | LlmctlError, latency: float) -> None:
        self._execute(INSERT_CALL, self._row(request, outcome, latency))

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _snapshot(self, billed: str) -> str | None:
        """The price file's version, where a price was asked for."""
        return self.prices() if billed != "no" else None

    def _execute(self, sql: str, values: Sequence[Any]) -> sqlite3.Cursor:
        try:
            if self._db is None:
                self._db = connect(self.path)
            return self._db.execute(sql, values)
        except sqlite3.Error as error:
            raise fault(self.path, error) from None

    def _row(self, request: Request, outcome: Response | LlmctlError, latency: float) -> tuple[Any, ...]:
        failed = outcome if isinstance(outcome, LlmctlError) else None
        answer = outcome if isinstance(outcome, Response) else outcome.response
        usage = answer.usage if answer is not None else Usage()
        tried = outcome.tried
        billed = billed_of(tried)
        target = request.target
        return (
            request.call, self.clock.now() - latency, request.run_id, request.profile,
            answer.model if answer is not None else target.model, target.model, target.provider, request.tag,
            "failed" if failed else "ok", failed.type if failed else None, answer.finish_reason if answer else None,
            usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens,
            usage.reasoning_tokens, int(usage.estimated),
            cost_of(outcome), answer.saved if answer is not None else 0, billed,
            answer.cached if answer is not None else None, len(tried), latency,
            answer.ttft if answer is not None else None, self._snapshot(billed),
            request.fingerprint[:32], chars(request.messages),
            digest(answer.text.encode("utf-8", "replace"))[:32] if answer is not None else None,
            len(answer.text) if answer is not None else None,
        )  # fmt: skip


def cost_of(outcome: Response | LlmctlError) -> int | None:
    """All attempts' money, failed ones too; unknown as soon as one is."""
    if isinstance(outcome, Response):
        return outcome.cost
    costs = [attempt.cost for attempt in outcome.tried]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def billed_of(tried: Sequence[Attempt]) -> str:
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
