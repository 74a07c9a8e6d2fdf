"""The ledger call by call, the newest last."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from llmctl.core.money import Nanos, to_usd
from llmctl.usage import lost, times
from llmctl.usage.report import Query, checked
from llmctl.usage.schema import reading

COLUMNS = (
    "id", "at", "run", "profile", "model", "asked", "provider", "tag", "status", "error", "finish",
    "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "estimated",
    "cost", "saved", "billed", "hit", "attempts", "latency", "ttft",
    "template",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """One call: `at` in Unix seconds, money in nano-dollars (None: unknown), times in seconds.

    `status` is ok, failed or lost; `billed` no, yes or unknown; `hit` the kind of cache that answered.
    """

    id: int
    at: float
    run: str
    profile: str
    model: str
    asked: str
    provider: str
    tag: str | None
    status: str
    error: str | None = None
    finish: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: int = 0
    cost: Nanos | None = None
    saved: Nanos | None = 0
    billed: str = "unknown"
    hit: str | None = None
    attempts: int = 0
    latency: float | None = None
    ttft: float | None = None
    template: str | None = None

    def envelope(self, where: times.Zone) -> dict[str, Any]:
        """An object of `usage --calls --json`."""
        return {
            "id": str(self.id),
            "at": times.iso(self.at, where),
            "run_id": self.run,
            "profile": self.profile,
            "model": self.model,
            "asked": self.asked,
            "provider": self.provider,
            "tag": self.tag,
            "template": self.template,
            "status": self.status,
            "error": self.error,
            "finish_reason": self.finish,
            "usage": {
                "input_tokens": self.input_tokens,
                "output_tokens": self.output_tokens,
                "cached_tokens": self.cached_tokens,
                "reasoning_tokens": self.reasoning_tokens,
                "estimated": bool(self.estimated),
            },
            "cost_usd": to_usd(self.cost),
            "saved_usd": to_usd(self.saved),
            "billed": self.billed,
            "cached": self.hit or False,
            "attempts": self.attempts,
            "latency_s": None if self.latency is None else round(self.latency, 6),
            "ttft_s": None if self.ttft is None else round(self.ttft, 6),
        }


def calls(db_path: Path, query: Query, limit: int | None = None, *, now: float | None = None) -> list[Call]:
    """The newest `limit` calls of a query (None: all), oldest first. Errors as of `report`."""
    if limit is None:
        return list(every(db_path, query, now=now))
    return list(islice(_read(db_path, query, now, "DESC", limit), limit))[::-1]


def every(db_path: Path, query: Query, *, now: float | None = None) -> Iterator[Call]:
    """All calls of a query one after the other, oldest first: memory does not grow with them."""
    return _read(db_path, query, now, "ASC", -1)


def _read(db_path: Path, query: Query, now: float | None, order: str, limit: int) -> Iterator[Call]:
    checked(query)
    if not db_path.exists():
        return
    sign = 1 if order == "ASC" else -1
    conditions = "".join(f" AND coalesce({name}, '') = ?" for name in query.filters)
    sql = f"""
        SELECT {", ".join(COLUMNS)} FROM calls WHERE at >= ? AND at < ? {conditions}
        ORDER BY at {order} LIMIT ?
    """  # noqa: S608  # our own names
    with reading(db_path) as db:
        gone = lost.calls(db, query, time.time() if now is None else now)
        rows = db.execute(sql, (*query.window, *query.filters.values(), limit))
        yield from heapq.merge(
            (Call(*row) for row in rows), _lost(gone[::sign]), key=lambda call: sign * call.at
        )


def _lost(gone: list[lost.Lost]) -> Iterator[Call]:
    for call in gone:
        yield Call(
            id=call.call,
            at=call.at,
            run=call.run,
            profile=call.profile,
            model=call.model,
            asked=call.model,
            provider=call.provider,
            tag=call.tag or None,
            status=call.status,
            error="lost",
            attempts=call.attempts,
        )
