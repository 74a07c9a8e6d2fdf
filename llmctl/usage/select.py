"""Reads the ledger for a report: whole slots where it can, the calls themselves where it must."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from operator import add
from typing import TYPE_CHECKING, Any

from llmctl.usage import lost, rollup, times
from llmctl.usage.histogram import Samples

if TYPE_CHECKING:
    from llmctl.usage.report import Query

EXACT_CALLS = 1000
"""Up to so many calls percentiles are exact, read from the calls themselves."""
SUMS = rollup.SUMS[:-2]
LONGEST = rollup.SIZES[0]
Key = tuple[str, ...]

_ROWS = """
    sum(status = 'ok'), count(*), count(hit), sum(input_tokens), sum(output_tokens), sum(cached_tokens),
    sum(reasoning_tokens),
    coalesce(sum(cost), 0), sum(cost IS NULL), coalesce(sum(saved), 0), sum(saved IS NULL),
    sum(attempts), sum(max(attempts - 1, 0)),
    coalesce(sum(latency) FILTER (WHERE hit IS NULL), 0), {kept}(latency) FILTER (WHERE hit IS NULL),
    coalesce(sum(ttft) FILTER (WHERE hit IS NULL), 0),
    {kept}(ttft) FILTER (WHERE hit IS NULL AND ttft IS NOT NULL)
    FROM pieces CROSS JOIN calls AS t ON t.at >= pieces.first AND t.at < pieces.last WHERE pieces.size = 0
"""
_SUMMED = f"""
    sum(calls * g.ok), {", ".join(f"sum({name})" for name in SUMS)},
    sum(latency), histogram_join(latencies), sum(ttft), histogram_join(ttfts)
    FROM pieces CROSS JOIN {{}} AS s ON s.slot >= pieces.first AND s.slot < pieces.last {{}}
    JOIN alike AS g ON g.kind = s.kind WHERE pieces.size > 0
"""
_SLOTS = ("slots", "AND s.size = pieces.size")
_RUNS = ("runs", "")
_ALIKE = "CREATE TEMP TABLE IF NOT EXISTS alike (kind INTEGER PRIMARY KEY, number INTEGER, ok INTEGER)"


class Tally:
    """The sums of one group, in the order of `SUMS`, `ok` of its calls went well."""

    __slots__ = ("latency", "ok", "sums", "ttft")

    def __init__(self) -> None:
        self.sums = [0] * len(SUMS)
        self.ok = 0
        self.latency = Samples()
        self.ttft = Samples()

    def add(self, ok: int, sums: Sequence[int]) -> None:
        self.ok += ok
        self.sums = list(map(add, self.sums, sums)) if self.sums[0] else list(sums)

    def merge(self, other: Tally) -> None:
        self.add(other.ok, other.sums)
        self.latency.merge(other.latency)
        self.ttft.merge(other.ttft)


def tallies(
    db: sqlite3.Connection, query: Query, where: times.Zone, now: float
) -> tuple[dict[Key, Tally], bool]:
    """The groups by their key's values ('' for none), and whether the percentiles are exact."""
    reader = _Reader(db, query, where)
    exact = reader.most <= EXACT_CALLS
    found = reader.read(exact)
    if not exact and sum(tally.sums[0] for tally in found.values()) <= EXACT_CALLS:
        exact, found = True, reader.read(True)
    for call in lost.calls(db, query, now):
        tally = found.setdefault(reader.key_of(call), Tally())
        tally.add(0, (1, 0, 0, 0, 0, 0, call.cost, 1, 0, 0, call.attempts, call.attempts - 1))
    return found, exact


class _Reader:
    def __init__(self, db: sqlite3.Connection, query: Query, where: times.Zone) -> None:
        self.db = db
        self.query = query
        self.where = where
        self.unit = next((unit for unit in ("hour", "day", "month") if unit in query.by), None)
        self.by_run = "run" in query.by
        self.columns = [name for name in query.by if name not in times.LENGTHS]
        self.conditions = "".join(f" AND coalesce(t.{name}, '') = ?" for name in query.filters)
        self.values = tuple(query.filters.values())
        self.occupied, self.most = self._occupied()

    def _occupied(self) -> tuple[list[int], int]:
        """The longest slots that hold any call looked for, and how many calls these hold."""
        since, until = self.query.window
        sql = f"""
            SELECT slot, sum(calls) FROM slots JOIN kinds AS t ON t.id = kind
            WHERE size = {LONGEST} AND slot >= ? AND slot <= ? {self.conditions} GROUP BY slot ORDER BY slot
        """  # noqa: S608  # our own names
        rows = self.db.execute(sql, (since // LONGEST, until // LONGEST, *self.values)).fetchall()
        return [slot for slot, _ in rows], sum(calls for _, calls in rows)

    def read(self, exact: bool) -> dict[Key, Tally]:
        self.db.execute("CREATE TEMP TABLE IF NOT EXISTS pieces (size INTEGER, first, last, name TEXT)")
        self.db.execute("DELETE FROM pieces")
        sizes = () if exact else (rollup.RUN_SIZE,) if self.by_run else rollup.SIZES
        self.db.executemany("INSERT INTO pieces VALUES (?, ?, ?, ?)", self._pieces(sizes))
        found: dict[Key, Tally] = {}
        for name, *values, ok, latency, ttft, sums in self._read_calls(exact):
            tally = self._tally(found, name, values)
            tally.add(ok, sums)
            if exact:
                tally.latency.exact(latency[1])
                tally.ttft.exact(ttft[1])
            else:
                tally.latency.rolled(latency[1], latency[0])
                tally.ttft.rolled(ttft[1], ttft[0])
        if exact:
            return found
        for name, values, ok, latency, ttft, sums in self._read_slots():
            tally = self._tally(found, name, values)
            tally.add(ok, sums)
            tally.latency.rolled(*latency)
            tally.ttft.rolled(*ttft)
        return found

    def _read_calls(self, exact: bool) -> Iterator[tuple[Any, ...]]:
        """Of the ragged edges: the name of the time, the columns' values, ok, times, sums.

        Of many calls the times are counted at once, since memory must not grow with them.
        """
        names = ["pieces.name", *(f"coalesce(t.{name}, '')" for name in self.columns)]
        # A piece's number is the order they are read in, so nothing has to be sorted by its name.
        places = ", ".join(["pieces.rowid", *(str(place + 2) for place in range(len(self.columns)))])
        what = _ROWS.format(kept="collect" if exact else "histogram")
        # Every name in it is one of ours; what users say is bound.
        sql = f"SELECT {', '.join(names)}, {what} {self.conditions} GROUP BY {places}"
        size = len(names)
        for row in self.db.execute(sql, self.values):
            yield *row[: size + 1], row[-4:-2], row[-2:], row[size + 1 : size + 1 + len(SUMS)]

    def _read_slots(self) -> Iterator[tuple[Any, ...]]:
        """Of the whole slots: the name of the time, the columns' values, ok, times, sums."""
        alike = self._alike()
        run = "s.run" if self.by_run else "''"
        what = _SUMMED.format(*(_RUNS if self.by_run else _SLOTS))
        # Pieces come in the order of their numbers: where nothing else divides them, nothing is sorted.
        places = ["pieces.rowid", *(["2"] if self.by_run else []), *(["3"] if len(alike) > 1 else [])]
        sql = f"SELECT pieces.name, {run}, g.number, {what} GROUP BY {', '.join(places)}"
        for name, run, number, ok, *sums, latency, latencies, ttft, ttfts in self.db.execute(sql):
            values = [run if column == "run" else alike[number][column] for column in self.columns]
            yield name, values, ok, (latencies, latency), (ttfts, ttft), sums

    def _alike(self) -> list[dict[str, str]]:
        """The values of the kinds looked for, by a number for those with the same ones, which is cheaper
        to group by than the values.
        """
        rows = self.db.execute(
            f"SELECT id, {', '.join(rollup.KIND)} FROM kinds AS t WHERE TRUE {self.conditions}",  # noqa: S608
            self.values,
        )
        wanted = [column for column in self.columns if column != "run"]
        numbers: dict[tuple[str, ...], int] = {}
        entries = []
        for row in rows:
            kind = dict(zip(rollup.KIND, row[1:], strict=True))
            number = numbers.setdefault(tuple(kind[column] for column in wanted), len(numbers))
            entries.append((row[0], number, kind["status"] == "ok"))
        self.db.execute(_ALIKE)
        self.db.execute("DELETE FROM alike")
        self.db.executemany("INSERT INTO alike VALUES (?, ?, ?)", entries)
        return [dict(zip(wanted, values, strict=True)) for values in numbers]

    def _tally(self, found: dict[Key, Tally], name: str, values: list[str]) -> Tally:
        key = self._key(name, dict(zip(self.columns, values, strict=True)))
        tally = found.get(key)
        if tally is None:
            tally = found[key] = Tally()
        return tally

    def _key(self, name: str, values: dict[str, str]) -> Key:
        return tuple(name[: times.LENGTHS[by]] if by in times.LENGTHS else values[by] for by in self.query.by)

    def key_of(self, call: lost.Lost) -> Key:
        name = times.name(call.at, self.unit, self.where) if self.unit else ""
        return self._key(name, {column: getattr(call, column) for column in self.columns})

    def _pieces(self, sizes: tuple[int, ...]) -> Iterator[tuple[int, float, float, str]]:
        for start, end, name in self._windows():
            for size, first, last in rollup.cover(start, end, sizes):
                yield size, first, last, name

    def _windows(self) -> Iterator[tuple[float, float, str]]:
        """What is asked for, cut where groups of time meet; where no call is, nothing is cut."""
        if not self.occupied:
            return
        if self.unit is None:
            yield *self._within(self.occupied[0] * LONGEST, (self.occupied[-1] + 1) * LONGEST), ""
            return
        for slot in self.occupied:
            start, end = self._within(slot * LONGEST, (slot + 1) * LONGEST)
            yield from times.split(start, end, self.unit, self.where)

    def _within(self, start: float, end: float) -> tuple[float, float]:
        since, until = self.query.window
        return max(start, since), min(end, until)
