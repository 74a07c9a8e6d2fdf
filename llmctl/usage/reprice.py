"""What the ledger's calls cost by another price book, beside what was booked."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmctl.core.model import Usage
from llmctl.core.money import Nanos, to_usd
from llmctl.usage.report import Query, checked
from llmctl.usage.rollup import REBUILD
from llmctl.usage.schema import connect, fault, reading

Price = Callable[[str, str, Usage, float], Nanos | None]
"""(model that answered, model that was asked, usage, Unix seconds) -> nano-dollars, None without a price."""

AT_ONCE = 5000
TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cache_write_tokens")
ROW = ("id", "at", "model", "asked", "status", "hit", "attempts", "cost", "saved", "more", *TOKENS)


@dataclass(slots=True)
class Money:
    """A sum of what is known in nano-dollars, and how many calls are unknown."""

    known: Nanos = 0
    unknown: int = 0

    def add(self, amount: Nanos | None) -> None:
        if amount is None:
            self.unknown += 1
        else:
            self.known += amount


@dataclass(slots=True)
class Line:
    """A model's answers that were paid for (`calls`), and the hits that its answers saved (`hits`)."""

    model: str
    calls: int = 0
    hits: int = 0
    changed: int = 0
    old: Money = field(default_factory=Money)
    new: Money = field(default_factory=Money)
    old_saved: Money = field(default_factory=Money)
    new_saved: Money = field(default_factory=Money)

    @property
    def difference(self) -> Nanos:
        """Of what is known: more than 0 where the new prices are higher."""
        return self.new.known - self.old.known

    def envelope(self) -> dict[str, Any]:
        return {
            "model": self.model or None,
            "calls": self.calls,
            "hits": self.hits,
            "changed": self.changed,
            "old_usd": to_usd(self.old.known),
            "old_unpriced": self.old.unknown,
            "new_usd": to_usd(self.new.known),
            "new_unpriced": self.new.unknown,
            "difference_usd": to_usd(self.difference),
            "old_saved_usd": to_usd(self.old_saved.known),
            "new_saved_usd": to_usd(self.new_saved.known),
        }


@dataclass(frozen=True, slots=True)
class Repriced:
    """By model, those that changed most first; `applied` says whether the ledger was changed."""

    lines: tuple[Line, ...] = ()
    applied: bool = False

    @property
    def total(self) -> Line:
        total = Line("")
        for line in self.lines:
            total.calls += line.calls
            total.hits += line.hits
            total.changed += line.changed
            for name in ("old", "new", "old_saved", "new_saved"):
                mine, more = getattr(total, name), getattr(line, name)
                mine.known += more.known
                mine.unknown += more.unknown
        return total

    def envelope(self) -> dict[str, Any]:
        """The object of `usage reprice --json`, without its schema number."""
        models = [line.envelope() for line in self.lines]
        return {"applied": self.applied, "models": models, "total": self.total.envelope()}


def reprice(
    db_path: Path, query: Query, price: Price, *, snapshot: str = "", apply: bool = False
) -> Repriced:
    """Every answer's cost anew, from the tokens in the ledger; only with `apply` is it changed.

    `snapshot` is the price book's version, noted with changed calls. What may have been billed
    without an answer stays unknown, and requests before the answered one keep their cost. Errors
    as of `report`; StorageError also where the ledger cannot be written.
    """
    checked(query)
    if not db_path.exists():
        return Repriced(applied=apply)
    work = _Work(query, price)
    if not apply:
        with reading(db_path) as db:
            for _ in work.changes(db):
                pass
    else:
        _apply(db_path, work, snapshot)
    lines = sorted(work.lines.values(), key=lambda line: (-abs(line.difference), line.model))
    return Repriced(tuple(lines), apply)


def _apply(db_path: Path, work: _Work, snapshot: str) -> None:
    """All of it in one transaction, the slots included."""
    db = connect(db_path)
    try:
        db.execute("BEGIN IMMEDIATE")
        for changes in work.changes(db):
            db.executemany(
                "UPDATE calls SET cost = ?, saved = ?, prices = ? WHERE id = ?",
                [(cost, saved, snapshot, number) for number, cost, saved in changes],
            )
        for statement in REBUILD.split(";"):
            db.execute(statement)
        db.execute("COMMIT")
    except sqlite3.Error as error:
        raise fault(db_path, error) from None
    finally:
        db.close()


class _Work:
    """Goes through the calls in the order of their numbers, some thousands at a time."""

    def __init__(self, query: Query, price: Price) -> None:
        self.query = query
        self.price = price
        self.lines: dict[str, Line] = {}

    def changes(self, db: sqlite3.Connection) -> Iterator[list[tuple[int, Nanos | None, Nanos | None]]]:
        """(number, cost, saved) of the calls whose money changes."""
        conditions = "".join(f" AND coalesce({name}, '') = ?" for name in self.query.filters)
        sql = f"""
            SELECT {", ".join(ROW)} FROM calls
            WHERE id > ? AND (billed = 'yes' OR hit IS NOT NULL) AND input_tokens + output_tokens > 0
                AND at >= ? AND at < ? {conditions}
            ORDER BY id LIMIT {AT_ONCE}
        """  # noqa: S608  # our own names
        last = -1
        while True:
            values = (last, *self.query.window, *self.query.filters.values())
            rows = [dict(zip(ROW, row, strict=True)) for row in db.execute(sql, values)]
            if not rows:
                return
            last = rows[-1]["id"]
            yield [change for row in rows if (change := self._change(db, row))]

    def _change(
        self, db: sqlite3.Connection, row: dict[str, Any]
    ) -> tuple[int, Nanos | None, Nanos | None] | None:
        model: str = row["model"]
        line = self.lines.setdefault(model, Line(model))
        usage = Usage(**{name: row[name] for name in TOKENS}, **json.loads(row["more"] or "{}"))
        price = self.price(model, row["asked"], usage, row["at"])
        cost, saved = row["cost"], row["saved"]
        if price is None:
            pass  # what no price is known for any more cost what it cost
        elif row["hit"] is not None:
            saved = price
        else:
            cost = _sum(price, self._before(db, row) if row["attempts"] > 1 else 0)
        if row["hit"] is not None:
            line.hits += 1
            line.old_saved.add(row["saved"])
            line.new_saved.add(saved)
        else:
            line.calls += 1
            line.old.add(row["cost"])
            line.new.add(cost)
        if (cost, saved) == (row["cost"], row["saved"]):
            return None
        line.changed += 1
        return row["id"], cost, saved

    def _before(self, db: sqlite3.Connection, row: dict[str, Any]) -> Nanos | None:
        """What the requests before the one that answered cost; None as soon as one is unknown."""
        costs: list[Nanos | None] = [
            cost
            for (cost,) in db.execute(
                "SELECT cost FROM attempts WHERE call = ? AND state <> 'ok' ORDER BY id", (row["id"],)
            )
        ]
        if row["status"] != "ok":
            costs = costs[:-1]
        total: Nanos | None = 0
        for cost in costs:
            total = _sum(total, cost)
        return total


def _sum(one: Nanos | None, other: Nanos | None) -> Nanos | None:
    return None if one is None or other is None else one + other
