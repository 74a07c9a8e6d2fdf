"""The slowest and the dearest calls of a window, out of the few that each slot remembers."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from llmctl.usage import peaks, rollup
from llmctl.usage.calls import COLUMNS, Call
from llmctl.usage.report import Query, checked
from llmctl.usage.schema import reading
from llmctl.usage.series import conditions

_SLOTS = """
    SELECT peaks_sum(slowest), peaks_sum(dearest) FROM slots
    WHERE size = ? AND slot >= ? AND slot < ? AND kind IN (SELECT id FROM kinds AS t WHERE TRUE {})
"""
_ROWS = """
    SELECT peaks(latency * 1000000, id) FILTER (WHERE hit IS NULL), peaks(cost, id) FILTER (WHERE cost > 0)
    FROM calls AS t WHERE at >= ? AND at < ? {}
"""


def extremes(db_path: Path, query: Query) -> tuple[list[Call], list[Call]]:
    """The slowest (no hits) and the dearest, the worst first, `peaks.KEPT` each at most.

    Errors as of `report`.
    """
    checked(query)
    if not db_path.exists():
        return [], []
    with reading(db_path) as db:
        slowest, dearest = _found(db, query)
        return _calls(db, slowest), _calls(db, dearest)


def _found(db: sqlite3.Connection, query: Query) -> tuple[peaks.Peaks, peaks.Peaks]:
    slowest, dearest = b"", b""
    for size, first, last in rollup.cover(*query.window):
        sql = (_SLOTS if size else _ROWS).format(conditions(query))
        window = (size, first, last) if size else (first, last)
        slow, dear = db.execute(sql, (*window, *query.filters.values())).fetchone()
        slowest, dearest = slowest + (slow or b""), dearest + (dear or b"")
    return peaks.largest(peaks.unpack(slowest)), peaks.largest(peaks.unpack(dearest))


def _calls(db: sqlite3.Connection, found: peaks.Peaks) -> list[Call]:
    """By their numbers, in that order; one that was removed meanwhile is left out."""
    numbers = [call for _, call in found]
    marks = ", ".join("?" * len(numbers))
    sql = f"SELECT {', '.join(COLUMNS)} FROM calls WHERE id IN ({marks})"  # noqa: S608  # our own names
    by_number = {row[0]: Call(*row) for row in db.execute(sql, numbers)}
    return [by_number[number] for number in numbers if number in by_number]
