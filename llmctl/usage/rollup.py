"""Sums kept as calls come in, so that a report never reads a million rows.

Every call is counted in one slot of each of three lengths, by UTC: 15 minutes (all offsets of zones
in use are multiples of it), an hour and six hours. Any window is a few whole slots, long ones in
the middle, and two ragged edges that are read from the calls themselves.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from llmctl.usage.histogram import bucket, pack

SIZES = (21600, 3600, 900)
"""Seconds, longest first; each is a multiple of the next."""

SUMS = (
    "calls", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens",
    "cost", "unpriced", "saved", "unsaved", "attempts", "latency", "ttft",
)  # fmt: skip
"""What is added up; `unpriced` and `unsaved` count the calls whose cost or saving is unknown."""

SECONDS = ("latency", "ttft")

KIND = ("profile", "model", "provider", "tag", "status", "hit")

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
        {" ".join(f"{name} {'REAL' if name in SECONDS else 'INTEGER'} NOT NULL," for name in SUMS)}
        latencies BLOB,                -- histograms (usage/histogram.py), of calls that no cache answered
        ttfts BLOB,
        PRIMARY KEY (size, slot, kind)
    ) WITHOUT ROWID;
"""

_HISTOGRAMS = ("latencies", "ttfts")
_VALUES = ("size", "slot", "kind", *SUMS, *_HISTOGRAMS)
UPSERT = f"""
    INSERT INTO slots ({", ".join(_VALUES)}) VALUES ({", ".join("?" * len(_VALUES))})
    ON CONFLICT (size, slot, kind) DO UPDATE SET
    {", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)},
    {", ".join(f"{name} = histogram_add({name}, excluded.{name})" for name in _HISTOGRAMS)}
"""  # noqa: S608  # our own names

_OF_CALL = "profile, model, provider, coalesce(tag, '') AS tag, status, coalesce(hit, '') AS hit"
REBUILD = f"""
    DELETE FROM slots;
    INSERT OR IGNORE INTO kinds ({", ".join(KIND)}) SELECT DISTINCT {_OF_CALL} FROM calls;
    WITH sizes(size) AS (VALUES {", ".join(f"({size})" for size in SIZES)})
    INSERT INTO slots ({", ".join(_VALUES)})
    SELECT sizes.size, CAST(at / sizes.size AS INTEGER), kinds.id,
        count(*), sum(input_tokens), sum(output_tokens), sum(cached_tokens), sum(reasoning_tokens),
        coalesce(sum(cost), 0), sum(cost IS NULL), coalesce(sum(saved), 0), sum(saved IS NULL), sum(attempts),
        coalesce(sum(latency) FILTER (WHERE kinds.hit = ''), 0),
        coalesce(sum(ttft) FILTER (WHERE kinds.hit = ''), 0),
        histogram(latency) FILTER (WHERE kinds.hit = ''), histogram(ttft) FILTER (WHERE kinds.hit = '')
    FROM sizes CROSS JOIN calls
    JOIN kinds ON {" AND ".join(f"kinds.{name} = coalesce(calls.{name}, '')" for name in KIND)}
    GROUP BY 1, 2, 3;
"""  # noqa: S608  # our own names
"""Makes all slots anew from the calls, for a new version and for changed prices."""


class Kind(NamedTuple):
    """What a slot's calls have in common; '' stands for no tag and for no hit."""

    profile: str
    model: str
    provider: str
    tag: str
    status: str
    hit: str


class Counted(NamedTuple):
    """One call as slots see it: nano-dollars and seconds, None where unknown."""

    at: float
    kind: Kind
    tokens: tuple[int, int, int, int]
    cost: int | None
    saved: int | None
    attempts: int
    latency: float
    ttft: float | None


class Cell:
    """The calls of one kind in one slot."""

    __slots__ = ("latencies", "sums", "ttfts")

    def __init__(self) -> None:
        self.sums: list[float] = [0] * len(SUMS)
        self.latencies: dict[int, int] = {}
        self.ttfts: dict[int, int] = {}

    def add(self, call: Counted) -> None:
        asked = not call.kind.hit
        latency = call.latency if asked else 0.0
        ttft = call.ttft if asked else None
        sums = self.sums
        for place, amount in enumerate(
            (
                1,
                *call.tokens,
                call.cost or 0,
                call.cost is None,
                call.saved or 0,
                call.saved is None,
                call.attempts,
            )
        ):
            sums[place] += amount
        if asked:
            sums[-2] += latency
            number = bucket(latency)
            self.latencies[number] = self.latencies.get(number, 0) + 1
        if ttft is not None:
            sums[-1] += ttft
            number = bucket(ttft)
            self.ttfts[number] = self.ttfts.get(number, 0) + 1

    def merge(self, other: Cell) -> None:
        self.sums = [one + more for one, more in zip(self.sums, other.sums, strict=True)]
        for mine, theirs in ((self.latencies, other.latencies), (self.ttfts, other.ttfts)):
            for number, count in theirs.items():
                mine[number] = mine.get(number, 0) + count

    def values(self) -> tuple[float | bytes | None, ...]:
        return *self.sums, pack(self.latencies) or None, pack(self.ttfts) or None


Cells = dict[tuple[int, Kind], Cell]
"""By the number of the shortest slot, and kind."""


def count(cells: Cells, call: Counted) -> None:
    """Adds a call to the cells, in memory."""
    key = (int(call.at // SIZES[-1]), call.kind)
    cell = cells.get(key)
    if cell is None:
        cell = cells[key] = Cell()
    cell.add(call)


def write(db: sqlite3.Connection, cells: Cells, ids: dict[Kind, int]) -> None:
    """Adds the cells to the slots, inside the caller's transaction; `ids` remembers kinds."""
    for size in SIZES:
        db.executemany(
            UPSERT,
            [
                (size, slot, _id(db, kind, ids), *cell.values())
                for (slot, kind), cell in _longer(cells, size // SIZES[-1])
            ],
        )


def _longer(cells: Cells, times: int) -> Iterable[tuple[tuple[int, Kind], Cell]]:
    """The cells of slots that are so many times longer."""
    longer: Cells = {}
    for (slot, kind), cell in cells.items():
        key = (slot // times, kind)
        if key not in longer:
            longer[key] = Cell()
        longer[key].merge(cell)
    return longer.items()


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
