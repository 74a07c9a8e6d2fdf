"""Killed at any moment, started again: nothing lost, next to nothing paid twice."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from llmctl.batch.journal import look

from ..conftest import Run
from ..server.client import TestServer
from .harness import Row, assert_answered, assert_whole, names, questions, requests, start, strace, write
from .kills import torture


@pytest.mark.slow
def test_killed_at_random_moments(
    server: TestServer, environ: dict[str, str], work: Path, home: Path, llmctl: Run
) -> None:
    """Power cuts and out-of-memory kills come when they like: fault 54 and 60."""
    server.script(latency=0.02)
    report = torture(server, environ, work, kills=6)
    assert report.kills >= 6
    assert report.again > 0, "no kill hit a request in flight: it proves nothing"
    assert llmctl("usage", "--json").returncode == 0


JOURNAL, DRAFT, FAILED = "work/out.jsonl.journal", "work/.out.jsonl.tmp", "work/.out.jsonl.failed.jsonl.tmp"
LEDGER, OUT, FAILED_OUT = "home/ledger.db", "work/out.jsonl", "work/out.jsonl.failed.jsonl"
KILLS = [
    (JOURNAL, "ftruncate", 1), (JOURNAL, "pwrite64", 1), (JOURNAL, "pwrite64", 40), (JOURNAL, "fdatasync", 1),
    (JOURNAL, "pwrite64", 62), (JOURNAL, "pwrite64", 63),  # the two closing records
    (DRAFT, "write", 1), (DRAFT, "fsync", 1), (DRAFT, "rename", 1), (FAILED, "fsync", 1),
    (FAILED, "rename", 1), (f"{LEDGER}-journal", "unlink", 1), (f"{LEDGER}-wal", "pwrite64", 7),
    (f"{LEDGER}-wal", "pwrite64", 50), (LEDGER, "pwrite64", 9),
]  # fmt: skip
"""Which call on which file; 61 rows' records and a head stand before the journal's closing ones."""
REFUSALS = [
    (JOURNAL, "pwrite64", "ENOSPC:when=8+", JOURNAL), (JOURNAL, "fdatasync", "EIO:when=1", JOURNAL),
    (f"{LEDGER}-wal", "pwrite64", "EIO:when=50+", LEDGER), (DRAFT, "write", "ENOSPC:when=1", OUT),
    (DRAFT, "fsync", "EIO:when=1", OUT), (DRAFT, "rename", "EACCES:when=1", OUT),
    (FAILED, "write", "ENOSPC:when=1", FAILED_OUT), (FAILED, "rename", "EACCES:when=1", FAILED_OUT),
]  # fmt: skip
"""Which call on which file fails how, and the file that is to be told."""


@pytest.fixture
def rows(server: TestServer, work: Path) -> list[Row]:
    """An input of 60 rows, of which one fails."""
    rows = questions(60)
    rows[5] = {"prompt": "this one fails"}
    server.script(match=[{"contains": "fails", "queue": ["status:400"]}])
    write(work / "in.jsonl", rows)
    return rows


def finished(journal: Path) -> int:
    """Rows that the journal has an answer of."""
    return sum(record.kind == "o" for record in look(journal))


@pytest.mark.slow
@pytest.mark.parametrize(("file", "call", "when"), KILLS)
def test_killed_at_a_system_call(
    file: str, call: str, when: int, rows: list[Row], server: TestServer, environ: dict[str, str],
    tmp_path: Path, llmctl: Run,
) -> None:  # fmt: skip
    """Chance seldom hits the moment between two renames, or between a record and a rename: fault 55."""
    work, out = tmp_path / "work", tmp_path / "work/out.jsonl"
    prefix = strace(tmp_path / file, call, f"signal=KILL:when={when}", tmp_path / "strace.log")
    code, _, err = start(environ, work, "in.jsonl", "-o", out, prefix=prefix).end()
    assert code == -signal.SIGKILL, f"it did not come to that call: {err}"
    assert_whole(Path(f"{out}.journal"), tmp_path / "home")
    first, kept = requests(server), finished(Path(f"{out}.journal"))
    assert first - kept <= 32 + 1, "more was lost than was in flight, and the row that fails"
    server.script()
    done = llmctl("batch", "in.jsonl", "-o", str(out), "--retry-failed")
    assert done.returncode == 0, done.stderr
    assert_answered(out, rows)
    assert requests(server) - first <= 60 - kept, "an answer that was kept was paid again"
    assert names(work) == {"in.jsonl", "out.jsonl", "out.jsonl.journal"}


@pytest.mark.slow
@pytest.mark.parametrize(("file", "call", "error", "told"), REFUSALS)
def test_a_failing_system_call(
    file: str, call: str, error: str, told: str, rows: list[Row], server: TestServer,
    environ: dict[str, str], tmp_path: Path, llmctl: Run,
) -> None:  # fmt: skip
    """A disk that refuses is told in one line, and what is finished is there the next time: fault 55."""
    work, out = tmp_path / "work", tmp_path / "work/out.jsonl"
    log = tmp_path / "strace.log"
    prefix = strace(tmp_path / file, call, f"error={error}", log)
    code, _, err = start(environ, work, "in.jsonl", "-o", out, "--concurrency", "5", prefix=prefix).end()
    assert "INJECTED" in log.read_text(errors="replace"), "it did not come to that call"
    assert "Traceback" not in err
    assert code == 3, err
    assert f"{tmp_path / told}: " in err
    first, kept = requests(server), finished(Path(f"{out}.journal"))
    assert first, "it hit nothing of a batch that runs"
    assert_whole(Path(f"{out}.journal"), tmp_path / "home")
    server.script()
    assert llmctl("batch", "in.jsonl", "-o", str(out), "--retry-failed").returncode == 0
    assert_answered(out, rows)
    assert requests(server) - first <= 60 - kept
