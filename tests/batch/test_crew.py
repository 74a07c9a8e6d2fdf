"""A batch in several processes keeps every promise of one: once each, in order, within budgets, resumable."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from llmctl.batch import frames
from llmctl.batch.ended import Ended, Stopped
from llmctl.batch.lines import RawRow
from llmctl.batch.rows import Row, parse
from llmctl.core.errors import AuthError, Interrupted, MissingExtra, RateLimited

from ..conftest import Run
from ..server.client import TestServer
from .harness import assert_answered, doubles, questions, read, requests, start, until, write

ROWS = questions(60)
ARGS = ("in.jsonl", "-o", "out.jsonl", "--workers", "2", "--concurrency", "6")


def workers_of(pid: int) -> list[int]:
    """The processes that a process has started and that are still there."""
    return [
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and f"\nPPid:\t{pid}\n" in _status(path)
    ]


def _status(path: Path) -> str:
    try:
        return (path / "status").read_text()
    except OSError:
        return ""


def usage(llmctl: Run) -> dict[str, int]:
    found: dict[str, int] = json.loads(llmctl("usage", "--json").stdout)["total"]
    return found


@pytest.mark.parametrize(
    "line",
    [
        b'{"prompt": "a \\u2028 b", "id": "x", "tag": "t", "params": {"top_p": 0.5}}',
        b'{"messages": [{"role": "user", "content": "hi"}], "system": "short", "model": "openai/gpt-4.1"}',
        b'{"custom_id": "c", "method": "POST", "url": "/v1/chat/completions", '
        b'"body": {"model": "m", "messages": [{"role": "user", "content": "hi"}], "seed": 7}}',
    ],
)
def test_a_row_arrives_as_it_was(line: bytes) -> None:
    """What a worker asks has to be what this process would have asked: the identity hangs on it."""
    row = parse(RawRow(3, 4, line))
    frame = unpacked(frames.of_row(row))
    assert as_json(frames.row_of(frame)) == as_json(row)


def test_ends_and_reasons_arrive_as_they_were() -> None:
    """Their record, their money, and an error of the same kind, or the exit code would be another."""
    done = Ended("o", b'{"text":"a\\nb"}', 2, None, "exact", 5, 0.25, (1, 2, 3, 4))
    assert frames.result_of(unpacked(frames.of_ended(7, done))) == done
    for why in (
        AuthError("no", hint="h", status=401),
        RateLimited("slow", retry_after=3.5),
        Interrupted(15),
        MissingExtra("this", "that"),
    ):
        with pytest.raises(Stopped) as caught:
            frames.result_of(unpacked(frames.of_stopped(7, Stopped(why, 2, 40))))
        found = caught.value.why
        assert (type(found), found.message, found.hint, found.status, found.retry_after, found.exit_code) == (
            type(why), why.message, why.hint, why.status, why.retry_after, why.exit_code,
        )  # fmt: skip
        assert (caught.value.requests, caught.value.cost) == (2, 40)


def unpacked(packed: bytes) -> frames.Frame:
    assert int.from_bytes(packed[: frames.LENGTH], "big") == len(packed) - frames.LENGTH
    head, _, record = packed[frames.LENGTH :].partition(b"\n")
    return frames.Frame(json.loads(head), record)


def as_json(row: Row) -> object:
    return json.loads(json.dumps(row))


def test_two_workers_answer_all_rows_once_and_in_order(llmctl: Run, server: TestServer, work: Path) -> None:
    """Doubles too, and the ledger knows every call when the command ends; a second time nothing is sent."""
    rows = ROWS + ROWS[:5]
    write(work / "in.jsonl", rows)
    done = llmctl("batch", *ARGS, "--json")
    assert done.returncode == 0, done.stderr
    assert_answered(work / "out.jsonl", rows)
    assert doubles(server) == {}
    summary = json.loads(done.stdout)
    assert (summary["ok"], summary["deduplicated"], summary["requests"]) == (65, 5, 60)
    assert summary["latency_s"]["p50"] > 0
    total = usage(llmctl)
    assert (total["calls"], total["ok"]) == (60, 60)
    assert total["input_tokens"] == summary["usage"]["input_tokens"]
    again = llmctl("batch", *ARGS, "--json")
    assert json.loads(again.stdout)["resumed"] == 65
    assert requests(server) == 60


def test_max_cost_holds_for_all_workers_together(llmctl: Run, server: TestServer, work: Path) -> None:
    """It is the command's, not each process's."""
    write(work / "in.jsonl", ROWS)
    (work / "profiles").mkdir()
    (work / "profiles" / "dear.yaml").write_text(
        "models: {main: {model: openai/gpt-4o-mini, params: {max_tokens: 10}}}\n"
        "prices: {openai/gpt-4o-mini: {input: 1000, output: 1000}}\n"
    )
    done = llmctl("batch", *ARGS, "-p", "dear", "--json", "--max-cost", "0.3")
    assert done.returncode == 6, done.stderr
    summary = json.loads(done.stdout)
    assert 0 < summary["cost_usd"] <= 0.3
    assert summary["pending"] > 0
    tokens = server.stats()["billed"]
    assert (tokens["input_tokens"] + tokens["output_tokens"]) * 0.001 <= 0.3


def test_a_refused_key_stops_all_workers(llmctl: Run, server: TestServer, work: Path) -> None:
    """The exit code is that of the error a worker met, and OUT holds what was not sent as pending."""
    write(work / "in.jsonl", ROWS)
    server.script(default="status:401")
    done = llmctl("batch", *ARGS, "--json")
    assert done.returncode == 4, done.stderr
    assert json.loads(done.stdout)["stopped"]["type"] == "auth"
    assert {row["status"] for row in read(work / "out.jsonl")} == {"pending"}
    assert requests(server) <= 6


ODD_ROW = """
import llmctl.batch.hand as hand
told = hand.fingerprint
hand.fingerprint = lambda request: {}["ours"] if "odd" in str(request.messages) else told(request)
"""
NO_LEDGER = """
import sys
from llmctl.services import Services
if "--crew" in sys.argv:
    Services.flush = lambda services: {}["ours"]
"""


@pytest.mark.parametrize("bug", [ODD_ROW, NO_LEDGER])
def test_a_bug_in_a_worker_ends(
    bug: str, llmctl: Run, server: TestServer, work: Path, environ: dict[str, str]
) -> None:
    """Who waits for a row hears of it, whatever befell the worker: no command waits for ever."""
    (work / "sitecustomize.py").write_text(bug)
    write(work / "in.jsonl", [*questions(4), {"prompt": "odd"}])
    done = llmctl("batch", *ARGS, env={"PYTHONPATH": f"{work}:{environ['PYTHONPATH']}"}, timeout=20)
    assert done.returncode == 1
    assert "rows met a bug in llmctl: KeyError" in done.stderr
    assert llmctl("batch", *ARGS).returncode == 0
    assert requests(server) == 5


def test_one_signal_lets_workers_finish(
    environ: dict[str, str], server: TestServer, work: Path, llmctl: Run
) -> None:
    """A terminal sends Ctrl-C to all of them; only the one with the journal decides what it means."""
    server.script(latency=0.4)
    write(work / "in.jsonl", ROWS)
    batch = start(environ, work, *ARGS, setup=os.setsid)
    until(lambda: requests(server) >= 8)
    os.killpg(batch.process.pid, signal.SIGINT)
    code, _, err = batch.end()
    assert code == 130, err
    assert "to go on: llmctl batch" in err
    assert all(entry["done"] for entry in server.log()), "an answer in flight was given up"
    sent = requests(server)
    assert sent < len(ROWS)
    server.script()
    assert llmctl("batch", *ARGS, "-q").returncode == 0
    assert_answered(work / "out.jsonl", ROWS)
    assert requests(server) == len(ROWS)


@pytest.mark.parametrize("number", ["0", "99"])
def test_what_is_no_end_of_a_batch(number: str, llmctl: Run, work: Path) -> None:
    """Who finds the workers' own option is told about the one that he means."""
    write(work / "in.jsonl", ROWS)
    done = llmctl("batch", "in.jsonl", "--crew", number)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--crew" in done.stderr
    assert len(done.stderr.splitlines()) == 1


SLOW_START = """
import sys, time
if "--crew" in sys.argv:
    time.sleep(1)
"""


def test_a_signal_while_workers_start(environ: dict[str, str], server: TestServer, work: Path) -> None:
    """Rows that were handed out to them and not begun are not sent any more."""
    (work / "sitecustomize.py").write_text(SLOW_START)
    write(work / "in.jsonl", ROWS)
    batch = start({**environ, "PYTHONPATH": f"{work}:{environ['PYTHONPATH']}"}, work, *ARGS)
    until(lambda: len(workers_of(batch.process.pid)) == 2)
    time.sleep(0.3)
    batch.signal(signal.SIGINT)
    code, _, err = batch.end()
    assert code == 130, err
    assert requests(server) == 0


def test_a_killed_worker_loses_only_what_it_had_in_flight(
    environ: dict[str, str], server: TestServer, work: Path, llmctl: Run
) -> None:
    """Out of memory takes one process: the batch stops, says so, and the same command goes on."""
    server.script(latency=0.3)
    write(work / "in.jsonl", ROWS)
    batch = start(environ, work, *ARGS)
    until(lambda: requests(server) >= 8)
    os.kill(workers_of(batch.process.pid)[0], signal.SIGKILL)
    code, _, err = batch.end()
    assert code == 1
    assert "worker process" in err
    assert "to go on: llmctl batch" in err
    server.script()
    assert llmctl("batch", *ARGS, "-q").returncode == 0
    assert_answered(work / "out.jsonl", ROWS)
    assert sum(times - 1 for times in doubles(server).values()) <= 3


def test_workers_end_with_a_batch_that_is_killed(
    environ: dict[str, str], server: TestServer, work: Path, llmctl: Run
) -> None:
    """Nobody goes on spending when who keeps the journal is gone, and nothing keeps it locked."""
    server.script(latency=0.3)
    write(work / "in.jsonl", ROWS)
    batch = start(environ, work, *ARGS)
    until(lambda: requests(server) >= 8)
    workers = workers_of(batch.process.pid)
    assert len(workers) == 2
    batch.signal(signal.SIGKILL)
    batch.end()
    until(lambda: not any(_status(Path("/proc") / str(pid)) for pid in workers), timeout=10)
    sent = requests(server)
    time.sleep(0.5)
    assert requests(server) == sent
    server.script()
    assert llmctl("batch", *ARGS, "-q").returncode == 0
    assert_answered(work / "out.jsonl", ROWS)
    assert sum(times - 1 for times in doubles(server).values()) <= 6
