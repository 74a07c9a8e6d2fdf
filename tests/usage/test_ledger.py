"""What is written into the ledger, when, and what happens when it cannot be."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from llmctl.core.errors import EmptyAnswer, StorageError
from llmctl.core.model import Attempt, Response, Usage
from llmctl.usage.calls import calls
from llmctl.usage.report import Query, report
from llmctl.usage.schema import reading

from .kit import Kit, when

NOON = when("2026-11-22T12:00")


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    with reading(path) as db:
        return list(db.execute(sql))


def test_the_trace_of_a_request_is_there_before_it_goes_out(tmp_path: Path) -> None:
    """A killed process must leave behind what it may have paid for."""
    kit = Kit(tmp_path / "ledger.db")
    ticket = kit.ledger.sent(kit.request())
    assert rows(kit.path, "SELECT state, billed, cost FROM attempts") == [("sent", "unknown", None)]
    kit.ledger.settled(ticket, Attempt("openai/a-2026", NOON, 0.5, cost=42))
    assert rows(kit.path, "SELECT state, billed, cost, model FROM attempts") == [
        ("ok", "yes", 42, "openai/a-2026")
    ]
    kit.done()


def test_a_call_knows_all_its_attempts_money(tmp_path: Path) -> None:
    """A failed attempt that was billed is part of what the answer cost."""
    kit = Kit(tmp_path / "ledger.db")
    request = kit.request()
    tried = (
        Attempt("openai/a", NOON, 1.0, "empty_answer", 200, "yes", 30),
        Attempt("openai/a", NOON, 1.0, cost=12),
    )
    for attempt in tried:
        kit.ledger.settled(kit.ledger.sent(request), attempt)
    kit.ledger.record(request, Response("x", "openai/a", usage=Usage(1, 1), cost=42, tried=tried), 2.0)
    error = EmptyAnswer("empty", billed="yes")
    error.tried = tried[:1]
    kit.ledger.record(kit.request(), error, 1.0)
    unknown = EmptyAnswer("empty", billed="yes")
    unknown.tried = (tried[0], Attempt("openai/a", NOON, 1.0, "timeout", None, "unknown", None))
    kit.ledger.record(kit.request(), unknown, 1.0)
    kit.done()
    assert rows(kit.path, "SELECT cost, billed, attempts FROM calls ORDER BY id") == [
        (42, "yes", 2),
        (30, "yes", 1),
        (None, "unknown", 2),
    ]


def test_grouped_rows_wait_for_the_flush(tmp_path: Path) -> None:
    """Thousands of calls a second cannot each wait for a transaction."""
    kit = Kit(tmp_path / "ledger.db", group=True)
    kit.call(NOON)
    assert not kit.path.exists()
    kit.ledger.flush()
    assert report(kit.path, Query()).total.calls == 1
    kit.call(NOON)
    kit.done()
    assert report(kit.path, Query()).total.calls == 2


def test_an_attempt_that_outlives_a_flush_is_settled_in_the_file(tmp_path: Path) -> None:
    """What is in flight while the timer writes must neither stay open nor be written twice.

    One that went well by then needs no row of its own: its call's row tells all of it.
    """
    kit = Kit(tmp_path / "ledger.db", group=True)
    quick, slow = kit.ledger.sent(kit.request()), kit.ledger.sent(kit.request())
    kit.ledger.settled(quick, Attempt("openai/a", NOON, 0.1, cost=1))
    kit.ledger.flush()
    assert rows(kit.path, "SELECT state FROM attempts") == [("sent",)]
    kit.ledger.settled(slow, Attempt("openai/a", NOON, 0.1, "timeout", None, "unknown", None))
    kit.done()
    assert rows(kit.path, "SELECT state, error FROM attempts") == [("failed", "timeout")]


def test_an_attempt_that_fails_before_a_flush_is_written(tmp_path: Path) -> None:
    """What it may have cost is told by nothing else, where another attempt answered."""
    kit = Kit(tmp_path / "ledger.db", group=True)
    failed = kit.ledger.sent(kit.request())
    kit.ledger.settled(failed, Attempt("openai/a", NOON, 0.1, "timeout", None, "unknown", 7))
    kit.done()
    assert rows(kit.path, "SELECT state, error, cost FROM attempts") == [("failed", "timeout", 7)]


def test_threads_may_write_while_another_flushes(tmp_path: Path) -> None:
    """The timer's thread and the event loop's share one ledger."""
    kit = Kit(tmp_path / "ledger.db", group=True)
    requests = [kit.request() for _ in range(400)]
    stop = threading.Event()

    def flush() -> None:
        while not stop.is_set():
            kit.ledger.flush()

    def write(part: int) -> None:
        for request in requests[part::4]:
            attempt = Attempt("openai/a", NOON, 0.1, cost=1)
            kit.ledger.settled(kit.ledger.sent(request), attempt)
            kit.ledger.record(request, Response("x", "openai/a", cost=1, tried=(attempt,)), 0.1)

    kit.clock.time = NOON
    flusher = threading.Thread(target=flush)
    writers = [threading.Thread(target=write, args=(part,)) for part in range(4)]
    flusher.start()
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    flusher.join()
    kit.done()
    found = report(kit.path, Query(by=("status",))).total
    assert (found.calls, found.cost, found.attempts) == (400, 400, 400)
    assert rows(kit.path, "SELECT count(*) FROM attempts WHERE state <> 'ok'") == [(0,)]


def full(kit: Kit, *, extra: int = 0) -> sqlite3.Connection:
    """From here on the ledger's file may not grow, as on a full disk."""
    db = kit.ledger._db
    assert db is not None
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages + extra}")
    return db


def test_a_full_disk_stops_before_the_next_request(tmp_path: Path) -> None:
    """What cannot be written down must not be paid for; what was written stays."""
    kit = Kit(tmp_path / "ledger.db")
    kit.call(NOON)
    full(kit)
    done = 1
    with pytest.raises(StorageError, match="disk is full") as told:
        while done < 2000:
            kit.call(NOON, tag="t" * 500)
            done += 1
    assert told.value.exit_code == 3
    with pytest.raises(StorageError):
        kit.ledger.sent(kit.request(tag="t" * 5000))
    with pytest.raises(StorageError):
        kit.done()
    assert rows(kit.path, "PRAGMA integrity_check") == [("ok",)]
    found = calls(kit.path, Query())
    assert len([call for call in found if call.status == "ok"]) in (done, done - 1)


def test_a_request_that_was_not_allowed_out_leaves_no_trace(tmp_path: Path) -> None:
    """Written later it would read as a call that was sent and lost."""
    kit = Kit(tmp_path / "ledger.db")
    kit.call(NOON)
    db = full(kit)
    with pytest.raises(StorageError):
        kit.ledger.sent(kit.request(tag="t" * 100_000))
    db.execute("PRAGMA max_page_count = 100000")
    kit.call(NOON)
    kit.done()
    assert rows(kit.path, "SELECT state, count(*) FROM attempts GROUP BY 1") == [("ok", 2)]


def test_what_a_group_could_not_write_is_kept_for_the_next_flush(tmp_path: Path) -> None:
    """Room may be made while the batch winds down: nothing paid for is forgotten or counted twice."""
    kit = Kit(tmp_path / "ledger.db", group=True)
    kit.call(NOON)
    kit.ledger.flush()
    db = full(kit)
    for _ in range(300):
        kit.call(NOON, tag="t" * 300)
    for _ in range(2):
        with pytest.raises(StorageError, match="full"):
            kit.ledger.flush()
    db.execute("PRAGMA max_page_count = 100000")
    kit.done()
    assert report(kit.path, Query(by=("tag",))).total.calls == 301
    assert rows(kit.path, "SELECT sum(calls) FROM slots WHERE size = 900") == [(301,)]


def test_the_folder_may_be_read_only(tmp_path: Path) -> None:
    """A container's volume mounted read-only is a plain error, not a bug."""
    target = tmp_path / "file"
    target.write_text("no folder")
    with pytest.raises(StorageError):
        Kit(target / "ledger.db").call(NOON)


def test_rarer_tokens_are_kept_for_a_later_price(tmp_path: Path) -> None:
    """Audio and hour-long cache writes have prices of their own, which a newer book may change."""
    kit = Kit(tmp_path / "ledger.db")
    kit.call(NOON, usage=Usage(10, 5, cache_write_tokens=4, cache_write_1h_tokens=3, audio_output_tokens=2))
    kit.call(NOON)
    kit.done()
    assert rows(kit.path, "SELECT cache_write_tokens, more FROM calls ORDER BY id") == [
        (4, '{"cache_write_1h_tokens": 3, "audio_output_tokens": 2}'),
        (0, None),
    ]
