"""Signals: what is in flight is finished, everything is kept, and the last line says how to go on."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..server.client import TestServer
from .harness import (
    Started,
    assert_answered,
    assert_whole,
    doubles,
    names,
    questions,
    requests,
    start,
    strace,
    until,
    write,
)

ROWS = questions(40)
ARGS = ("in.jsonl", "-o", "out.jsonl", "--concurrency", "4")


@pytest.fixture
def running(server: TestServer, environ: dict[str, str], work: Path) -> Started:
    """A batch with some of its rows done and four in flight."""
    server.script(latency=0.3)
    write(work / "in.jsonl", ROWS)
    started = start(environ, work, *ARGS)
    until(lambda: requests(server) >= 6)
    return started


def go_on(err: str, environ: dict[str, str], work: Path) -> subprocess.CompletedProcess[str]:
    """Types what the last line says."""
    words = shlex.split(err.strip().splitlines()[-1].partition("to go on: llmctl ")[2])
    assert words[0] == "batch"
    return subprocess.run(
        [sys.executable, "-m", "llmctl", *words],
        cwd=work,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_one_signal(
    number: int,
    code: int,
    running: Started,
    server: TestServer,
    environ: dict[str, str],
    work: Path,
    home: Path,
) -> None:
    """Ctrl-C, a container's end, a lost terminal: fault 56 and 58."""
    running.signal(number)
    found, out, err = running.end()
    assert (found, out) == (code, "")
    assert "once more" in err
    sent = requests(server)
    assert sent < len(ROWS)
    assert all(entry["done"] for entry in server.log()), "an answer in flight was given up"
    assert_whole(work / "out.jsonl.journal", home)
    assert not (work / "out.jsonl").exists()
    server.script()
    assert go_on(err, environ, work).returncode == 0
    assert_answered(work / "out.jsonl", ROWS)
    assert requests(server) == len(ROWS), "an answer that was paid for was asked again"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_while_out_is_written(
    number: int, code: int, server: TestServer, environ: dict[str, str], work: Path
) -> None:
    """Large files take a while, and nobody waits for them who wants to leave: fault 56 and 58."""
    write(work / "in.jsonl", ROWS)
    draft = work / ".out.jsonl.tmp"
    slow = strace(draft, "fsync", "delay_enter=500000", work / "strace.log")
    running = start(environ, work, *ARGS[:2], work / "out.jsonl", prefix=slow)
    until(draft.exists)
    running.signal(number)
    found, _, err = running.end()
    assert found == code, err
    assert names(work) == {"in.jsonl", "out.jsonl.journal", "strace.log"}
    assert go_on(err, environ, work).returncode == 0
    assert_answered(work / "out.jsonl", ROWS)
    assert requests(server) == len(ROWS)


def test_a_second_signal_leaves_at_once(
    server: TestServer, environ: dict[str, str], work: Path, home: Path
) -> None:
    """Who cannot wait need not, and still loses nothing that was finished: fault 57."""
    server.script(queue=[None] * 6, default="delay:20")
    write(work / "in.jsonl", ROWS)
    running = start(environ, work, *ARGS)
    until(lambda: requests(server) >= 8)
    time.sleep(0.2)
    running.signal(signal.SIGINT)
    time.sleep(0.3)
    began = time.monotonic()
    running.signal(signal.SIGINT)
    code, _, err = running.end()
    assert code == 130
    assert time.monotonic() - began < 5
    assert_whole(work / "out.jsonl.journal", home)
    server.script()
    assert go_on(err, environ, work).returncode == 0
    assert_answered(work / "out.jsonl", ROWS)
    assert requests(server) <= len(ROWS) + 4


def test_a_signal_ends_the_waits_between_attempts(
    server: TestServer, environ: dict[str, str], work: Path
) -> None:
    """A row that waits a minute to try again is not in flight: nothing is paid for it."""
    server.script(default="rate_limited+retry_after:20")
    write(work / "in.jsonl", ROWS)
    running = start(environ, work, *ARGS)
    until(lambda: requests(server) >= 4)
    time.sleep(0.2)
    began = time.monotonic()
    running.signal(signal.SIGINT)
    code, _, err = running.end()
    assert code == 130
    assert time.monotonic() - began < 5
    server.script()
    assert go_on(err, environ, work).returncode == 0
    assert_answered(work / "out.jsonl", ROWS)


def ignore_hang_ups() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def test_nohup_keeps_its_word(server: TestServer, environ: dict[str, str], work: Path) -> None:
    """Started with SIGHUP ignored, a batch outlives its terminal."""
    server.script(latency=0.1)
    write(work / "in.jsonl", ROWS)
    running = start(environ, work, *ARGS, setup=ignore_hang_ups)
    until(lambda: requests(server) >= 6)
    running.signal(signal.SIGHUP)
    code, _, err = running.end()
    assert code == 0, err
    assert_answered(work / "out.jsonl", ROWS)


def test_a_batch_to_stdout_still_shows_what_was_paid_for(
    server: TestServer, environ: dict[str, str], work: Path
) -> None:
    """Without OUT there is nothing to go on from: what was answered must come out now."""
    server.script(latency=0.3)
    write(work / "in.jsonl", ROWS)
    running = start(environ, work, "in.jsonl", "--concurrency", "4")
    until(lambda: requests(server) >= 6)
    running.signal(signal.SIGINT)
    code, out, err = running.end()
    assert code == 130
    assert "to go on" not in err
    assert out.count('"status":"ok"') == requests(server)
    assert '"pending"' not in out


def test_a_signal_outweighs_a_refused_key(server: TestServer, environ: dict[str, str], work: Path) -> None:
    """Exit codes have an order: 130 before 4."""
    server.script(queue=["key_refused"], default="delay:1.5")
    write(work / "in.jsonl", ROWS)
    running = start(environ, work, *ARGS)
    until(lambda: requests(server) >= 4)
    time.sleep(0.3)
    running.signal(signal.SIGINT)
    code, _, _ = running.end()
    assert code == 130
    assert not doubles(server)
