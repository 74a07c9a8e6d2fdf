"""When a call last went well, found by the slots: a million failures since are not read."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from llmctl.usage.report import Query
from llmctl.usage.rollup import SIZES
from llmctl.usage.schema import reading

SIZE = SIZES[0]


def last_success(db_path: Path, query: Query) -> float | None:
    """Unix seconds when the newest good answer came, else when the first call began; None without calls.

    The query's filters hold, its window does not. StorageError where the ledger cannot be read.
    """
    if not db_path.exists():
        return None
    names = "".join(f" AND coalesce(t.{name}, '') = ?" for name in query.filters)
    values = tuple(query.filters.values())
    with reading(db_path) as db:
        good = _edge(db, "max(slot)", f"{names} AND t.status = 'ok'", values)
        if good is not None:
            return _call(db, "max(t.at + t.latency)", f"{names} AND t.status = 'ok'", (good, *values))
        first = _edge(db, "min(slot)", names, values)
        return None if first is None else _call(db, "min(t.at)", names, (first, *values))


# Every name in these is one of ours; what users say is bound.
def _edge(db: sqlite3.Connection, which: str, names: str, values: tuple[str, ...]) -> int | None:
    sql = f"SELECT {which} FROM slots JOIN kinds AS t ON t.id = kind WHERE size = {SIZE} {names}"  # noqa: S608
    found: int | None = db.execute(sql, values).fetchone()[0]
    return found


def _call(db: sqlite3.Connection, what: str, names: str, values: tuple[int | str, ...]) -> float | None:
    slot = int(values[0])
    sql = f"SELECT {what} FROM calls AS t WHERE t.at >= ? AND t.at < ? {names}"  # noqa: S608
    found: float | None = db.execute(sql, (slot * SIZE, (slot + 1) * SIZE, *values[1:])).fetchone()[0]
    return found
