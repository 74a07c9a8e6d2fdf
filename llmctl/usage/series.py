"""The ledger over time: a few hundred points at most, out of whole slots, for charts.

A point is a step of whole slots, by UTC; its label is the Unix time at which it begins. A short
window with few calls is cut into minutes, read from the calls themselves.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmctl.core.money import to_usd
from llmctl.usage import lost, rollup
from llmctl.usage.histogram import Samples
from llmctl.usage.report import RANKS, Query, checked
from llmctl.usage.schema import reading

STEPS = (900, 1800, 3600, 10800, 21600, 43200, 86400, 7 * 86400, 28 * 86400)
"""Seconds; each is whole slots of a length that is kept."""
POINTS = 125
MINUTE_S = 60
MINUTES = 120
"""A window of so many minutes at most may be cut into minutes."""
READ = 20_000
"""Calls that are read one by one at most."""

_GOOD = "(SELECT id FROM kinds WHERE status = 'ok')"
_OF_KIND = "kind IN (SELECT id FROM kinds AS t WHERE TRUE {})"
_SUMS = f"""
    SELECT slot / ?, sum(calls), sum(calls * (kind IN {_GOOD})), sum(hits), sum(cost), sum(input_tokens),
        sum(output_tokens), sum(latency)
    FROM slots WHERE size = ? AND slot >= ? AND slot < ? AND {_OF_KIND} GROUP BY 1
"""  # noqa: S608  # our own names
_TIMES = f"""
    SELECT slot / ?, latencies FROM slots
    WHERE size = ? AND slot >= ? AND slot < ? AND {_OF_KIND} AND latencies IS NOT NULL
"""  # noqa: S608  # our own names
_CALLS = """
    SELECT CAST(at / ? AS INTEGER), count(*), sum(status = 'ok'), count(hit), coalesce(sum(cost), 0),
        sum(input_tokens), sum(output_tokens), collect(latency) FILTER (WHERE hit IS NULL)
    FROM calls AS t WHERE at >= ? AND at < ? {} GROUP BY 1
"""


@dataclass(slots=True)
class Point:
    """The calls of one step; money in nano-dollars."""

    calls: int = 0
    ok: int = 0
    cached: int = 0
    cost: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    latency: Samples = field(default_factory=Samples)


@dataclass(frozen=True, slots=True)
class Series:
    """Points by the Unix second at which they begin, `step` seconds apart; empty ones are left out.

    `start` and `end` are those of the first and after the last step of the window.
    """

    step: int
    start: int
    end: int
    points: dict[int, Point]

    def envelope(self) -> dict[str, Any]:
        """Columns of equal length, one place a step, times in seconds and money in USD."""
        times = list(range(self.start, self.end, self.step))
        points = [self.points.get(at, Point()) for at in times]
        latencies = [point.latency.summary(RANKS) for point in points]
        return {
            "step_s": self.step,
            "at": times,
            "ok": [point.ok for point in points],
            "failed": [point.calls - point.ok for point in points],
            "cached": [point.cached for point in points],
            "input_tokens": [point.input_tokens for point in points],
            "output_tokens": [point.output_tokens for point in points],
            "cost_usd": [to_usd(point.cost) for point in points],
            "latency_s": {
                name: [None if found[place] is None else round(found[place], 6) for found in latencies]  # type: ignore[arg-type]  # tested
                for place, name in enumerate(("mean", "p50", "p95", "p99"))
            },
        }


def series(db_path: Path, query: Query, *, now: float | None = None) -> Series:
    """The calls of a query over time, widened to whole steps. Errors as of `report`."""
    checked(query)
    moment = time.time() if now is None else now
    if not db_path.exists():
        return Series(STEPS[0], 0, 0, {})
    with reading(db_path) as db:
        since, until = _window(db, query, moment)
        if since >= until:
            return Series(STEPS[0], 0, 0, {})
        step = _step(db, query, since, until)
        start, end = int(since // step * step), int(-(-until // step) * step)
        read = _by_calls if step == MINUTE_S else _by_slots
        points = read(db, query, step, (start, end))
        for call in lost.calls(db, query, moment):
            if start <= call.at < end:
                points.setdefault(int(call.at // step * step), Point()).calls += 1
    return Series(step, start, end, points)


def _window(db: sqlite3.Connection, query: Query, now: float) -> tuple[float, float]:
    """What is asked for, as far as there are calls; an open end is now."""
    size = rollup.SIZES[0]
    first, last = db.execute("SELECT min(slot), max(slot) FROM slots WHERE size = ?", (size,)).fetchone()
    if first is None:
        return 0.0, 0.0
    since, until = query.window
    if query.until is None:
        until = max(now, last * size) if query.since is None else max(now, query.since)
    if query.since is None:
        since = _first(db, query)
    return since, min(until, (last + 1) * size) if query.since is None else until


def _first(db: sqlite3.Connection, query: Query) -> float:
    """When the first call of the filters may have begun."""
    size = rollup.SIZES[-1]
    sql = f"SELECT min(slot) FROM slots WHERE size = ? AND kind IN (SELECT id FROM kinds AS t WHERE 1 {conditions(query)})"  # noqa: S608, E501  # our own names
    slot = db.execute(sql, (size, *query.filters.values())).fetchone()[0]
    return 0.0 if slot is None else float(slot * size)


def _step(db: sqlite3.Connection, query: Query, since: float, until: float) -> int:
    if until - since <= MINUTES * MINUTE_S:
        size = rollup.SIZES[-1]
        sql = "SELECT coalesce(sum(calls), 0) FROM slots WHERE size = ? AND slot >= ? AND slot <= ?"
        if db.execute(sql, (size, since // size, until // size)).fetchone()[0] <= READ:
            return MINUTE_S
    return next((step for step in STEPS if (until - since) / step <= POINTS), STEPS[-1])


def _by_calls(db: sqlite3.Connection, query: Query, step: int, window: tuple[int, int]) -> dict[int, Point]:
    points = {}
    sql = _CALLS.format(conditions(query))
    for number, *sums, durations in db.execute(sql, (step, *window, *query.filters.values())):
        points[number * step] = point = Point(*sums)
        point.latency.exact(durations)
    return points


def _by_slots(db: sqlite3.Connection, query: Query, step: int, window: tuple[int, int]) -> dict[int, Point]:
    """The durations of slots come as they are: to join them in SQL would cost more."""
    size = next(size for size in rollup.SIZES if step % size == 0)
    values = (step // size, size, window[0] // size, window[1] // size, *query.filters.values())
    points = {}
    for number, *sums, total in db.execute(_SUMS.format(conditions(query)), values):
        points[number * step] = point = Point(*sums)
        point.latency.total = total
    for number, durations in db.execute(_TIMES.format(conditions(query)), values):
        points[number * step].latency.rolled(durations, 0.0)
    return points


def conditions(query: Query) -> str:
    """Of the table of kinds or calls, called t."""
    return "".join(f" AND coalesce(t.{name}, '') = ?" for name in query.filters)
