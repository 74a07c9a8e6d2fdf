"""Sums kept as calls come in, so that a report never reads a million rows.

Every call is counted in one slot of each of five lengths, by UTC: 15 minutes (all offsets of zones
in use are multiples of it), an hour, six hours, a day and a week. Any window is a few whole slots,
long ones in the middle, and two ragged edges that are read from the calls themselves.
"""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from llmctl.usage import peaks
from llmctl.usage.histogram import bucket, pack

SIZES = (604800, 86400, 21600, 3600, 900)
"""Seconds, longest first; each is a multiple of the next."""
RUN_SIZE = 21600
"""The slots that are kept once more, divided by run too."""

SUMS = (
    "calls", "hits", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens",
    "cost", "unpriced", "saved", "unsaved", "attempts", "retries", "latency", "ttft",
)  # fmt: skip
"""What is added up.

`hits` are calls that a cache answered, `retries` the attempts after the first one of each call;
`unpriced` and `unsaved` count the calls whose cost or saving is unknown.
"""

SECONDS = ("latency", "ttft")

KIND = ("profile", "model", "provider", "tag", "status")

_SUMMED = f"""
    {" ".join(f"{name} {'REAL' if name in SECONDS else 'INTEGER'} NOT NULL," for name in SUMS)}
    latencies BLOB,                    -- histograms (usage/histogram.py), of calls that no cache answered
    ttfts BLOB,
    slowest BLOB,                      -- a few calls each (usage/peaks.py)
    dearest BLOB,
"""
TABLES = f"""
    CREATE TABLE kinds (               -- what slots are divided by; '' stands for none
        id INTEGER PRIMARY KEY,
        {" ".join(f"{name} TEXT NOT NULL," for name in KIND)}
        UNIQUE ({", ".join(KIND)})
    );
    CREATE TABLE slots (
        size INTEGER NOT NULL,         -- seconds
        slot INTEGER NOT NULL,         -- Unix seconds / size
        kind INTEGER NOT NULL REFERENCES kinds,
        {_SUMMED}
        PRIMARY KEY (size, slot, kind)
    ) WITHOUT ROWID;
    CREATE TABLE errors (              -- failed calls by type of error
        size INTEGER NOT NULL,
        slot INTEGER NOT NULL,
        kind INTEGER NOT NULL REFERENCES kinds,
        error TEXT NOT NULL,
        calls INTEGER NOT NULL,
        PRIMARY KEY (size, slot, kind, error)
    ) WITHOUT ROWID;
    CREATE TABLE runs (                -- some slots once more, divided by run too
        slot INTEGER NOT NULL,
        run TEXT NOT NULL,
        kind INTEGER NOT NULL REFERENCES kinds,
        {_SUMMED}
        PRIMARY KEY (slot, run, kind)
    ) WITHOUT ROWID;
"""

HISTOGRAMS = ("latencies", "ttfts")
PEAKS = ("slowest", "dearest")
SUMMED = (*SUMS, *HISTOGRAMS, *PEAKS)


def _upsert(table: str, *key: str) -> str:
    names = (*key, *SUMMED)
    return f"""
        INSERT INTO {table} ({", ".join(names)}) VALUES ({", ".join("?" * len(names))})
        ON CONFLICT ({", ".join(key)}) DO UPDATE SET
        {", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)},
        {", ".join(f"{name} = histogram_add({name}, excluded.{name})" for name in HISTOGRAMS)},
        {", ".join(f"{name} = peaks_add({name}, excluded.{name})" for name in PEAKS)}
    """  # noqa: S608  # our own names


ADD_SLOT = _upsert("slots", "size", "slot", "kind")
ADD_RUN = _upsert("runs", "slot", "run", "kind")
ADD_ERROR = """
    INSERT INTO errors (size, slot, kind, error, calls) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (size, slot, kind, error) DO UPDATE SET calls = calls + excluded.calls
"""


def _rebuild() -> str:
    """The shortest slots from the calls, each longer size from the next shorter one."""
    shortest = SIZES[-1]
    summed = ", ".join(SUMMED)
    sums = ", ".join(f"sum({name})" for name in SUMS)
    sums += "".join(f", histogram_sum({name})" for name in HISTOGRAMS)
    sums += "".join(f", peaks_sum({name})" for name in PEAKS)
    own = ", ".join(f"coalesce({name}, '')" for name in KIND)
    same = " AND ".join(f"kinds.{name} = coalesce(calls.{name}, '')" for name in KIND)
    kinds = f"JOIN kinds ON {same}"
    slots = "".join(
        f"""
        INSERT INTO slots (size, slot, kind, {summed})
        SELECT {size}, slot / {size // shorter}, kind, {sums} FROM slots WHERE size = {shorter} GROUP BY 2, 3;
        INSERT INTO errors SELECT {size}, slot / {size // shorter}, kind, error, sum(calls)
        FROM errors WHERE size = {shorter} GROUP BY 2, 3, 4;
        """  # noqa: S608  # our own names
        for size, shorter in zip(SIZES[-2::-1], SIZES[:0:-1], strict=True)
    )
    return f"""
        DELETE FROM slots;
        DELETE FROM runs;
        DELETE FROM errors;
        INSERT OR IGNORE INTO kinds ({", ".join(KIND)}) SELECT DISTINCT {own} FROM calls;
        CREATE TEMP TABLE parts AS
        SELECT CAST(at / {shortest} AS INTEGER) AS slot, run, kinds.id AS kind, count(*) AS calls,
            count(hit) AS hits, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
            sum(cached_tokens) AS cached_tokens, sum(reasoning_tokens) AS reasoning_tokens,
            coalesce(sum(cost), 0) AS cost, sum(cost IS NULL) AS unpriced,
            coalesce(sum(saved), 0) AS saved, sum(saved IS NULL) AS unsaved,
            sum(attempts) AS attempts, sum(max(attempts - 1, 0)) AS retries,
            coalesce(sum(latency) FILTER (WHERE hit IS NULL), 0) AS latency,
            coalesce(sum(ttft) FILTER (WHERE hit IS NULL), 0) AS ttft,
            histogram(latency) FILTER (WHERE hit IS NULL) AS latencies,
            histogram(ttft) FILTER (WHERE hit IS NULL) AS ttfts,
            peaks(latency * 1000000, calls.id) FILTER (WHERE hit IS NULL) AS slowest,
            peaks(cost, calls.id) FILTER (WHERE cost > 0) AS dearest
        FROM calls {kinds} GROUP BY 1, 2, 3;
        INSERT INTO slots (size, slot, kind, {summed})
        SELECT {shortest}, slot, kind, {sums} FROM parts GROUP BY 2, 3;
        INSERT INTO errors SELECT {shortest}, CAST(at / {shortest} AS INTEGER), kinds.id, coalesce(error, ''),
            count(*) FROM calls {kinds} WHERE calls.status <> 'ok' GROUP BY 2, 3, 4;
        {slots}
        INSERT INTO runs (slot, run, kind, {summed})
        SELECT slot / {RUN_SIZE // shortest}, run, kind, {sums} FROM parts GROUP BY 1, 2, 3;
        DROP TABLE parts;
    """  # noqa: S608  # our own names


REBUILD = _rebuild()
"""Makes all slots anew from the calls: for a new version, changed prices and removed calls."""


Kind = tuple[str, str, str, str, str]
"""What a slot's calls have in common, in the order of `KIND`."""

PLACE = ("at", "run", *KIND, "error", "hit")
"""The columns of a call that say where and as what it counts."""
AMOUNTS = (
    "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens",
    "cost", "saved", "attempts", "latency", "ttft", "id",
)  # fmt: skip
"""The columns of a call that are added up, and its number."""


class Cell:
    """The calls of one run and kind in one slot."""

    __slots__ = ("dearest", "errors", "latencies", "slowest", "sums", "ttfts")

    def __init__(self) -> None:
        self.sums: list[float] = [0] * len(SUMS)
        self.latencies: dict[int, int] = {}
        self.ttfts: dict[int, int] = {}
        self.slowest: peaks.Peaks = []
        self.dearest: peaks.Peaks = []
        self.errors: dict[str, int] = {}

    def add(self, amounts: tuple[Any, ...], hit: bool) -> None:
        """Adds a call, by its `AMOUNTS`."""
        asked, said, cached, thought, cost, saved, attempts, latency, ttft, call = amounts
        sums = self.sums
        sums[0] += 1
        sums[2] += asked
        sums[3] += said
        sums[4] += cached
        sums[5] += thought
        if cost is None:
            sums[7] += 1
        else:
            sums[6] += cost
            if cost > 0:
                peaks.note(self.dearest, cost, call)
        if saved is None:
            sums[9] += 1
        else:
            sums[8] += saved
        sums[10] += attempts
        if attempts > 1:
            sums[11] += attempts - 1
        if hit:
            sums[1] += 1
            return
        sums[12] += latency
        peaks.note(self.slowest, int(latency * 1e6), call)
        number = bucket(latency)
        self.latencies[number] = self.latencies.get(number, 0) + 1
        if ttft is not None:
            sums[13] += ttft
            number = bucket(ttft)
            self.ttfts[number] = self.ttfts.get(number, 0) + 1

    def plus(self, other: Cell) -> Cell:
        both = Cell()
        both.sums = [one + more for one, more in zip(self.sums, other.sums, strict=True)]
        both.latencies = Counter(self.latencies) + Counter(other.latencies)
        both.ttfts = Counter(self.ttfts) + Counter(other.ttfts)
        both.slowest = peaks.largest(self.slowest + other.slowest)
        both.dearest = peaks.largest(self.dearest + other.dearest)
        both.errors = Counter(self.errors) + Counter(other.errors)
        return both

    def values(self) -> tuple[float | bytes | None, ...]:
        histograms = (pack(self.latencies) or None, pack(self.ttfts) or None)
        return *self.sums, *histograms, peaks.pack(self.slowest), peaks.pack(self.dearest)


Place = tuple[int, str, Kind]
Cells = dict[Place, Cell]
"""By the number of the shortest slot, run and kind."""


def count(cells: Cells, where: tuple[Any, ...], amounts: tuple[Any, ...]) -> None:
    """Adds a call to the cells in memory, by the values of its `PLACE` and of its `AMOUNTS`."""
    at, run, profile, model, provider, tag, status, error, hit = where
    place = (int(at // SIZES[-1]), run, (profile, model, provider, tag or "", status))
    cell = cells.get(place)
    if cell is None:
        cell = cells[place] = Cell()
    cell.add(amounts, hit is not None)
    if status != "ok":
        cell.errors[error or ""] = cell.errors.get(error or "", 0) + 1


def write(db: sqlite3.Connection, cells: Cells) -> None:
    """Adds the cells to the slots, inside the caller's transaction."""
    ids: dict[Kind, int] = {}  # no longer than that: `purge` takes kinds away, and their numbers go to others
    for size in SIZES:
        slots = _merged(cells, size, by_run=False)
        db.executemany(
            ADD_SLOT,
            [(size, slot, _id(db, kind, ids), *cell.values()) for (slot, _, kind), cell in slots.items()],
        )
        failed = (
            (size, slot, _id(db, kind, ids), error, calls)
            for (slot, _, kind), cell in slots.items()
            for error, calls in cell.errors.items()
        )
        db.executemany(ADD_ERROR, failed)
    runs = _merged(cells, RUN_SIZE, by_run=True)
    db.executemany(
        ADD_RUN,
        [(slot, run, _id(db, kind, ids), *cell.values()) for (slot, run, kind), cell in runs.items()],
    )


def _merged(cells: Cells, size: int, *, by_run: bool) -> Cells:
    """The cells of longer slots, and of all runs together."""
    times = size // SIZES[-1]
    merged: Cells = {}
    for (slot, run, kind), cell in cells.items():
        place = (slot // times, run if by_run else "", kind)
        if (found := merged.get(place)) is None:
            merged[place] = cell
        else:
            merged[place] = found.plus(cell)
    return merged


def _id(db: sqlite3.Connection, kind: Kind, ids: dict[Kind, int]) -> int:
    if kind not in ids:
        names = ", ".join(KIND)
        where = " AND ".join(f"{name} = ?" for name in KIND)
        find = f"SELECT id FROM kinds WHERE {where}"  # noqa: S608  # our own names
        found = db.execute(find, kind).fetchone()
        if found is None:
            marks = ", ".join("?" * len(KIND))
            db.execute(f"INSERT INTO kinds ({names}) VALUES ({marks})", kind)  # noqa: S608  # our own names
            found = db.execute(find, kind).fetchone()
        ids[kind] = int(found[0])
    return ids[kind]


class Range(NamedTuple):
    """Whole slots [first, last) of a size, or with size 0 the calls that began in [first, last)."""

    size: int
    first: float
    last: float


def cover(start: float, end: float, sizes: tuple[int, ...] = SIZES) -> Iterator[Range]:
    """[start, end) in Unix seconds as the fewest whole slots and the ragged edges."""
    if start >= end:
        return
    if not sizes:
        yield Range(0, start, end)
        return
    size, *shorter = sizes
    first, last = math.ceil(start / size), math.floor(end / size)
    if first >= last:
        yield from cover(start, end, tuple(shorter))
        return
    yield from cover(start, first * size, tuple(shorter))
    yield Range(size, first, last)
    yield from cover(last * size, end, tuple(shorter))
