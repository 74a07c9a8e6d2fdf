"""The facts about rows that are kept on disk: they must say what a dict and a set would."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from llmctl.batch.index import Known, Offsets, Rows
from llmctl.core.canonical import digest
from llmctl.core.errors import StorageError


def test_offsets_are_those_that_were_put(tmp_path: Path) -> None:
    """A row without a record has none, also beyond the last and in gaps."""
    offsets = Offsets(tmp_path)
    told = {row: row * row for row in (0, 1, 7, 5000, 1_000_000)}
    for row, offset in told.items():
        offsets.put(row, offset)
    assert {row: offsets.get(row) for row in told} == told
    assert [offsets.get(row) for row in (2, 6, 999_999, 2_000_000)] == [None] * 4
    offsets.put(7, 1)
    assert offsets.get(7) == 1
    offsets.close()


@pytest.mark.parametrize("few", [0, 100, 10_000])
@pytest.mark.parametrize("expected", [0, 1, 4000])
def test_known_is_a_dict(expected: int, few: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory, on disk or on its way there, growing or not: every key has its last offset, no other one."""
    monkeypatch.setattr(Known, "FEW", few)
    known = Known(tmp_path, expected)
    keys = [digest(str(n).encode()) for n in range(4000)]
    chance = random.Random(1)
    told: dict[str, int] = {}
    for key in chance.choices(keys[:3000], k=6000):
        told[key] = chance.randrange(10**12)
        known.put(key, told[key])
    assert len(known) == len(told)
    assert {key: known.get(key) for key in told} == told
    assert all(known.get(key) is None for key in keys[3000:])
    known.close()


def test_rows_are_a_set() -> None:
    """A bit each, wherever the first one stands."""
    rows = Rows()
    told = {3, 8, 40_000, 1_000_000}
    for row in told:
        rows.add(row)
    assert {row for row in range(1_000_100) if row in rows} == told
    assert 10**9 not in rows


def test_a_folder_that_takes_no_files(tmp_path: Path) -> None:
    """Told as a matter of storage, before anything is paid for."""
    with pytest.raises(StorageError, match="nowhere"):
        Offsets(tmp_path / "nowhere")
    with pytest.raises(StorageError, match="nowhere"):
        Known(tmp_path / "nowhere")


def test_offsets_are_a_dict_in_any_order(tmp_path: Path) -> None:
    """Pages go to the disk and come back: no row may lose its place on the way."""
    offsets = Offsets(tmp_path)
    chance = random.Random(3)
    told: dict[int, int] = {}
    for _ in range(3000):
        row = chance.randrange(2 * Offsets.PAGES * Offsets.ROWS)
        told[row] = chance.randrange(2**62)
        offsets.put(row, told[row])
    assert len(offsets._pages) == Offsets.PAGES
    assert {row: offsets.get(row) for row in told} == told
    offsets.close()
