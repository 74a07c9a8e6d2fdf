"""Running batches say how far they are, to whoever looks from another process."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from llmctl.batch.running import EVERY_S, KEPT_S, Running, batches
from llmctl.batch.tally import Tally

from ..server.client import TestServer
from .harness import questions, requests, start, until, write

ARGS = ("in.jsonl", "-o", "out.jsonl", "--concurrency", "4")


def test_a_batch_is_seen_while_it_runs_and_after(
    server: TestServer, environ: dict[str, str], work: Path, home: Path
) -> None:
    """Page and terminal show live progress of a batch that somebody else started."""
    server.script(latency=0.3)
    write(work / "in.jsonl", questions(24))
    started = start(environ, work, *ARGS)
    until(lambda: requests(server) >= 10 and bool(batches(home)))
    until(lambda: batches(home)[0].finished > 0)
    (seen,) = batches(home)
    assert (seen.state, seen.exit_code, seen.figures["rows"]) == ("running", None, 24)
    assert seen.told == {"profile": "dev", "model": None, "input": "in.jsonl", "out": "out.jsonl"}
    assert started.end()[0] == 0
    (seen,) = batches(home)
    assert (seen.state, seen.exit_code, seen.finished, seen.left_s) == ("ended", 0, 24, None)
    assert batches(home, now=seen.at + KEPT_S + 1) == []
    assert [path.name for path in (home / "running").iterdir()] == [f"{seen.run}.json"]


@pytest.mark.parametrize(
    ("number", "state", "code"), [(signal.SIGTERM, "ended", 143), (signal.SIGKILL, "died", None)]
)
def test_a_stopped_and_a_killed_batch_are_told_apart(
    server: TestServer,
    environ: dict[str, str],
    work: Path,
    home: Path,
    number: int,
    state: str,
    code: int | None,
) -> None:
    """A bar that stands still for ever would be a lie about a process that is gone."""
    server.script(latency=0.3)
    write(work / "in.jsonl", questions(40))
    started = start(environ, work, *ARGS)
    until(lambda: bool(batches(home)))
    started.signal(number)
    started.end()
    (seen,) = batches(home)
    assert (seen.state, seen.exit_code) == (state, code)
    assert seen.figures["pending"] > 0


def test_what_cannot_be_said_is_left_unsaid(tmp_path: Path) -> None:
    """A progress display must never cost a batch its run."""
    (tmp_path / "running").write_text("a file in the folder's place")
    running = Running(tmp_path, "r", Tally(), {})
    running.tick()
    running.end(0)
    assert batches(tmp_path) == []


def test_a_name_that_is_no_utf_8(tmp_path: Path) -> None:
    """Files have such names; a display must not stumble over them, and the batch with it."""
    running = Running(tmp_path, "r", Tally(), {"input": "in\udcff.jsonl", "out": None})
    running.tick()
    (found,) = batches(tmp_path)
    assert found.told["input"] == r"in\udcff.jsonl"


def test_foreign_files_are_passed_over(tmp_path: Path) -> None:
    """Cut, strange or huge: whoever looks shows the batches that there are."""
    running = Running(tmp_path, "good", Tally(), {"model": "<script>"})
    running.tick()
    folder = tmp_path / "running"
    for name, text in {
        "cut": '{"run_id": "x',
        "list": "[]",
        "other": '{"ended": 1}',
        "huge": " " * 70_000,
    }.items():
        (folder / f"{name}.json").write_text(text)
    (found,) = batches(tmp_path)
    assert (found.run, found.told["model"], found.envelope()["rows"]) == ("good", "<script>", 0)


def test_a_file_is_rewritten_once_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of thousands of rows a second must not notice that it is watched."""
    now = 100.0
    monkeypatch.setattr("llmctl.batch.running.time.monotonic", lambda: now)
    tally = Tally()
    running = Running(tmp_path, "r", tally, {})
    for rows in range(50):
        tally.rows = rows
        running.tick()
    assert json.loads(running.path.read_text())["rows"] == 0
    now += EVERY_S
    running.tick()
    assert json.loads(running.path.read_text())["rows"] == 49
