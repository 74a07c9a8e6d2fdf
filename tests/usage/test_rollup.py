"""Slots that add up to the calls they were made of."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmctl.usage.rollup import REBUILD, SIZES, cover
from llmctl.usage.schema import connect

from .kit import Kit, when

EDGES = st.integers(0, 40 * 86400).map(lambda second: 1_790_000_000.0 + second / 2)


@given(EDGES, EDGES)
def test_a_window_is_covered_once_and_whole(one: float, other: float) -> None:
    """A second counted twice or never is money counted twice or never."""
    start, end = sorted((one, other))
    at = start
    for size, first, last in cover(start, end):
        low, high = (first * size, last * size) if size else (first, last)
        assert low == at
        assert high > low
        assert size or (last - first < SIZES[-1] * 2)
        at = high
    assert at == end


def test_an_aligned_day_takes_no_rows() -> None:
    """A day of any zone in use must not read a single call."""
    for zone in ("UTC", "Europe/Madrid", "Asia/Kathmandu", "Australia/Eucla", "America/St_Johns"):
        start = when("2026-11-22", zone)
        found = list(cover(start, start + 86400))
        assert 0 not in {part.size for part in found}
        assert len(found) <= 5


def test_an_empty_window_has_no_parts() -> None:
    """Since equal to until asks for nothing."""
    assert list(cover(5.0, 5.0)) == list(cover(6.0, 5.0)) == []


def contents(db: sqlite3.Connection) -> list[list[tuple[object, ...]]]:
    """Slots and runs by name, their sums rounded as sums of floats are."""
    names = "profile, model, provider, tag, status"
    sums = (
        "calls, hits, input_tokens, output_tokens, cached_tokens, reasoning_tokens, cost, unpriced, saved,"
        " unsaved, attempts, retries, round(latency, 6), round(ttft, 6),"
        " hex(peaks_sum(slowest)), hex(peaks_sum(dearest)),"
        " hex(histogram_sum(latencies)), hex(histogram_sum(ttfts))"
    )
    slots = db.execute(
        f"SELECT size, slot, {names}, {sums} FROM slots JOIN kinds ON kinds.id = kind"
        f" GROUP BY size, slot, {names} ORDER BY 1, 2, 3, 4, 5, 6, 7, 8"
    )
    runs = db.execute(
        f"SELECT slot, run, {names}, {sums} FROM runs JOIN kinds ON kinds.id = kind"
        f" GROUP BY slot, run, {names} ORDER BY 1, 2, 3, 4, 5, 6, 7, 8"
    )
    errors = db.execute(
        f"SELECT size, slot, {names}, error, calls FROM errors JOIN kinds ON kinds.id = kind ORDER BY 1, 2, 3"
    )
    return [*(sorted(map(sorted_hex, rows), key=repr) for rows in (slots, runs)), sorted(errors, key=repr)]


def sorted_hex(row: tuple[object, ...]) -> tuple[object, ...]:
    """Histograms hold their buckets in any order."""
    parts = [
        tuple(sorted(cell[place : place + 8] for place in range(0, len(cell), 8)))
        for cell in map(str, row[-2:])
    ]
    return *map(str, row[:-2]), *parts


@pytest.mark.parametrize("group", [False, True])
def test_what_was_counted_call_by_call_is_what_a_rebuild_finds(tmp_path: Path, group: bool) -> None:
    """Slots kept as calls come in must never drift from the calls, in single and in grouped writing."""
    chance = random.Random(3)
    kit = Kit(tmp_path / "ledger.db", group=group)
    start = when("2026-10-24T20:00")
    for number in range(300):
        at = start + chance.random() * 30 * 3600
        more: dict[str, Any] = {
            "model": chance.choice(["openai/a", "x/b"]),
            "tag": chance.choice([None, "ci"]),
        }
        if chance.random() < 0.2:
            kit.failed(at, run_id=f"r{number % 3}", **more)
        else:
            kit.call(
                at,
                latency=chance.lognormvariate(0, 1),
                cost=chance.choice([None, 0, 7, 10**12]),
                hit=chance.choice([None, None, "exact", "shared"]),
                ttft=chance.choice([None, 0.2]),
                run_id=f"r{number % 3}",
                **more,
            )
        if group and number % 70 == 0:
            kit.ledger.flush()
    db = connect(kit.done())
    counted = contents(db)
    db.executescript(REBUILD)
    assert counted == contents(db)
    assert {size for (size,) in db.execute("SELECT DISTINCT size FROM slots")} == set(SIZES)
    for size in SIZES:
        assert db.execute("SELECT sum(calls) FROM slots WHERE size = ?", (size,)).fetchone() == (300,)
    assert db.execute("SELECT sum(calls) FROM runs").fetchone() == (300,)
