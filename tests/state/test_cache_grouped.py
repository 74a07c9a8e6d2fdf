"""The cache of a batch: entries written in groups are those that diskcache itself would have written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import diskcache
import pytest

from llmctl.core.model import Response, Usage
from llmctl.state import cache as module
from llmctl.state.cache import AnswerCache

KEYS = [f"{number:064x}" for number in range(200)]


def answer(text: str) -> Response:
    return Response(text, "openai/gpt-4.1", usage=Usage(3, 4), cost=70)


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., AnswerCache]:
    """One more process's handle to the same cache."""
    warnings: list[str] = []

    def make(*, group: bool = True, ttl: float | None = 60) -> AnswerCache:
        return AnswerCache(tmp_path / "cache", ttl, 2**30, warnings.append, group=group)

    return make


def text_of(cache: AnswerCache, key: str) -> str | None:
    found = cache.get(key)
    return None if found is None else found.text


def test_what_is_written_in_a_group_is_read_one_by_one(opened: Callable[..., AnswerCache]) -> None:
    """Small values stand in the table, large ones in files; another process finds both."""
    grouped, alone = opened(), opened(group=False)
    texts = {key: ("x" * 50_000 if place % 50 == 0 else f"answer {place}") for place, key in enumerate(KEYS)}
    for key, text in texts.items():
        grouped.set(key, answer(text))
    grouped.flush()
    assert {key: text_of(alone, key) for key in KEYS} == texts
    assert alone.stats()["entries"] == len(KEYS)


def test_diskcache_counts_and_expires_grouped_entries(
    opened: Callable[..., AnswerCache], tmp_path: Path
) -> None:
    """Its own bookkeeping has to know of rows that it has not written, or the cache would grow for ever."""
    grouped = opened(ttl=0.0)
    for key in KEYS:
        grouped.set(key, answer("gone at once"))
    grouped.flush()
    with diskcache.Cache(str(tmp_path / "cache")) as plain:
        assert len(plain) == len(KEYS)
        assert plain.check() == []
        assert plain.expire() == len(KEYS)
        assert len(plain) == 0
    assert all(grouped.get(key) is None for key in KEYS)


@pytest.mark.parametrize("size", [10, 50_000])
def test_a_refreshed_answer_takes_the_old_ones_place(
    opened: Callable[..., AnswerCache], size: int, tmp_path: Path
) -> None:
    """Also a small one in the place of a large one, whose file must go."""
    grouped = opened()
    grouped.set(KEYS[0], answer("o" * size))
    grouped.flush()
    grouped.set(KEYS[0], answer("new"))
    grouped.set(KEYS[1], answer("other"))
    grouped.flush()
    fresh = opened()
    assert (text_of(fresh, KEYS[0]), text_of(fresh, KEYS[1])) == ("new", "other")
    assert list((tmp_path / "cache").rglob("*.val")) == []


def test_it_sees_what_others_wrote_after_a_tick(opened: Callable[..., AnswerCache]) -> None:
    """Looks share one view of the cache for a moment, and for no longer."""
    grouped, alone = opened(), opened(group=False)
    assert text_of(grouped, KEYS[0]) is None
    alone.set(KEYS[0], answer("of another process"))
    grouped.tick()
    assert text_of(grouped, KEYS[0]) == "of another process"


def test_it_sees_its_own_at_once(opened: Callable[..., AnswerCache]) -> None:
    """Written or still waiting: the same question is not paid for twice."""
    grouped = opened()
    assert text_of(grouped, KEYS[0]) is None
    grouped.set(KEYS[0], answer("mine"))
    assert text_of(grouped, KEYS[0]) == "mine"
    grouped.flush()
    assert text_of(grouped, KEYS[0]) == "mine"


def test_it_writes_when_it_is_much_or_has_waited(
    opened: Callable[..., AnswerCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick is cheap; many entries are not kept in memory, and few not for long."""
    monkeypatch.setattr(module, "GATHERED", 10)
    grouped, alone = opened(), opened(group=False)
    grouped.flush()
    for key in KEYS[:9]:
        grouped.set(key, answer("waits"))
    grouped.tick()
    assert text_of(alone, KEYS[0]) is None
    grouped.set(KEYS[9], answer("the tenth"))
    grouped.tick()
    assert text_of(alone, KEYS[0]) == "waits"
    monkeypatch.setattr(module, "GATHERED_S", 0.0)
    grouped.flush()
    grouped.set(KEYS[10], answer("late"))
    grouped.tick()
    assert text_of(alone, KEYS[10]) == "late"


def looks(cache: AnswerCache, key: str) -> list[str]:
    """The statements that a look for the key takes."""
    told: list[str] = []
    cache._store._con.set_trace_callback(told.append)
    cache.get(key)
    cache._store._con.set_trace_callback(None)
    return told


def test_what_surely_is_not_there_is_not_looked_for(opened: Callable[..., AnswerCache]) -> None:
    """A look takes longer than knowing; what is there, of this batch or earlier, is found all the same."""
    opened(group=False).set(KEYS[0], answer("earlier"))
    grouped = opened()
    assert text_of(grouped, KEYS[0]) == "earlier"
    assert looks(grouped, KEYS[1]) == []
    grouped.set(KEYS[1], answer("own"))
    grouped.flush()
    grouped.tick()
    assert text_of(grouped, KEYS[1]) == "own"
    assert not any("SELECT mode" in said for said in looks(grouped, KEYS[2]))


def test_what_another_process_adds_is_found_after_the_next_tick(opened: Callable[..., AnswerCache]) -> None:
    """Two batches over the same rows must not both pay, only since one of them knew an empty cache."""
    grouped, other = opened(), opened(group=False)
    assert grouped.get(KEYS[0]) is None
    other.set(KEYS[0], answer("other's"))
    grouped.tick()
    assert text_of(grouped, KEYS[0]) == "other's"
    assert grouped.get(KEYS[1]) is None
    other.set(KEYS[1], answer("later"))
    grouped.tick()
    assert text_of(grouped, KEYS[1]) == "later"


def test_a_cache_of_many_entries_is_looked_into(
    opened: Callable[..., AnswerCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To read all its names would take longer than to look for the batch's own."""
    monkeypatch.setattr(module, "MOST", 1)
    alone = opened(group=False)
    for key in KEYS[:3]:
        alone.set(key, answer(key))
    grouped = opened()
    assert [text_of(grouped, key) for key in KEYS[:4]] == [*KEYS[:3], None]


def test_a_group_outlives_a_lock(opened: Callable[..., AnswerCache], tmp_path: Path) -> None:
    """Another process holds the cache for a moment: answers that are paid for are written afterwards."""
    grouped = opened()
    grouped.get(KEYS[0])
    grouped.tick()
    with closing(sqlite3.connect(tmp_path / "cache" / "cache.db", isolation_level=None)) as other:
        for key in KEYS:
            grouped.set(key, answer("dear"))
        other.execute("BEGIN IMMEDIATE")
        grouped.flush()
        other.execute("COMMIT")
    assert text_of(grouped, KEYS[1]) == "dear"
    grouped.close()
    assert opened().stats()["entries"] == len(KEYS)


def test_a_lock_that_lasts_fills_no_memory(
    opened: Callable[..., AnswerCache], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache may lose entries; a batch of a million rows beside it must not hold them all."""
    monkeypatch.setattr(module, "MOST_WAITING", 50)
    grouped = opened()
    grouped.get(KEYS[0])
    grouped.tick()
    with closing(sqlite3.connect(tmp_path / "cache" / "cache.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for key in KEYS[:60]:
            grouped.set(key, answer("dear"))
        grouped.flush()
        assert text_of(grouped, KEYS[1]) is None
        other.execute("COMMIT")
    grouped.close()
