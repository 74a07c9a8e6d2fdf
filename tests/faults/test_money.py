"""Money under faults: clocks, zones, locked and damaged books, a first start by twenty, bad limits."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Run
from ..server.client import TestServer
from .asking import Asker

MODEL = "models: {main: {model: openai/gpt-4o-mini, params: {max_tokens: 5}}}\nextends: base\n"
PRICES = "prices: {openai/gpt-4o-mini: {input: 0, output: 100}}\n"
"""What is asked here costs 0.0005 USD at most and, answered with four words, 0.0004."""


def clocked(environ: dict[str, str], work: Path, *times: str) -> list[dict[str, Any]]:
    """What a process says that asks at these times (ISO 8601, UTC)."""
    seconds = [str(datetime.fromisoformat(each).replace(tzinfo=UTC).timestamp()) for each in times]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.clocked", *seconds],
        cwd=work,
        env={**environ, "LLMCTL_PROFILE": "clock"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def profile(work: Path, text: str) -> None:
    (work / "profiles").mkdir(exist_ok=True)
    (work / "profiles" / "clock.yaml").write_text(MODEL + PRICES + text)


def test_fault_66_a_clock_that_jumps_finds_the_counters_it_left(
    environ: dict[str, str], work: Path, server: TestServer
) -> None:
    """An hour on is a new hour; an hour back is the old one, with what was spent in it."""
    profile(work, "budgets: [{limit: 0.0007, per: hour, tz: Asia/Kolkata}, {limit: 1, per: day}]\n")
    server.script(default="words:4")
    times = ["10:40", "10:50", "11:40", "10:55", "11:50", "11:20", "12:31"]
    found = clocked(environ, work, *(f"2026-11-22T{each}" for each in times))
    # Calcutta's hours begin at half past: 10:30, 11:30 and 12:30 of UTC.
    assert [each["code"] for each in found] == [0, 6, 0, 6, 6, 6, 0]
    assert len(server.log()) == 3
    assert [each["budgets"][1]["spent_usd"] for each in found][-1] == pytest.approx(0.0012)
    assert found[0]["budgets"][0]["resets_at"] == "2026-11-22T17:00:00+05:30"


DAYS = {
    ("Europe/Madrid", 23): "2026-03-28T22:59:50 2026-03-28T23:00:01 2026-03-29T21:59:50 2026-03-29T22:00:01",
    ("Europe/Madrid", 25): "2026-10-24T21:59:50 2026-10-24T22:00:01 2026-10-25T22:59:50 2026-10-25T23:00:01",
    (
        "America/New_York",
        23,
    ): "2026-03-08T04:59:50 2026-03-08T05:00:01 2026-03-09T03:59:50 2026-03-09T04:00:01",
    (
        "America/New_York",
        25,
    ): "2026-11-01T03:59:50 2026-11-01T04:00:01 2026-11-02T04:59:50 2026-11-02T05:00:01",
}
"""The last seconds before a day's midnight, the first after it, and the same at the day's end; in UTC."""


@pytest.mark.parametrize(("zone", "hours"), DAYS)
def test_fault_67_calls_fall_on_the_right_day_where_it_has_23_or_25_hours(
    llmctl: Run,
    environ: dict[str, str],
    work: Path,
    server: TestServer,
    zone: str,
    hours: int,
) -> None:
    """The last seconds before a midnight and the first after it, in the budget and in the report."""
    profile(work, f"budgets: [{{limit: 1, per: day, tz: {zone}}}]\n")
    server.script(default="words:4")
    found = clocked(environ, work, *DAYS[zone, hours].split())
    assert [each["budgets"][0]["spent_usd"] for each in found] == [0.0004, 0.0004, 0.0008, 0.0004]
    starts, ends = (datetime.fromisoformat(found[n]["budgets"][0]["resets_at"]) for n in (0, 1))
    assert (ends.astimezone(UTC) - starts.astimezone(UTC)).total_seconds() == hours * 3600
    assert ends.hour == starts.hour == 0
    told = json.loads(llmctl("usage", "--by", "day", "--tz", zone, "--json").stdout)
    assert [group["calls"] for group in told["groups"]] == [1, 2, 1]
    assert [group["key"]["day"] for group in told["groups"]][1] == f"{starts:%Y-%m-%d}"
    by_hour = json.loads(llmctl("usage", "--by", "hour", "--tz", zone, "--json").stdout)["groups"]
    assert [group["key"]["hour"][11:13] for group in by_hour] == ["23", "00", "23", "00"]


@pytest.mark.slow
def test_fault_69_twenty_processes_at_a_first_start(
    environ: dict[str, str], work: Path, home: Path, server: TestServer
) -> None:
    """Ledger, state, cache and price index are all made at once, and nobody meets a lock."""
    profile(work, "budgets: [{limit: 1, per: day}]\n")
    server.script(default="words:4")
    command = [sys.executable, "-m", "llmctl", "run", "-p", "clock", "--no-stream"]
    started = [
        subprocess.Popen(
            [*command, f"question {n}"], cwd=work, env=environ, stderr=subprocess.PIPE, text=True
        )
        for n in range(20)
    ]
    ends = [(process.communicate(timeout=120)[1], process.returncode) for process in started]
    assert ends == [("", 0)] * 20
    with sqlite3.connect(home / "ledger.db") as db:
        assert db.execute("SELECT count(*), sum(cost) FROM calls").fetchone() == (20, 20 * 400_000)


@pytest.mark.slow
def test_fault_71_a_ledger_that_stays_locked_is_given_up(ask: Asker, server: TestServer) -> None:
    """A bounded wait, exit 3, and nothing paid for that could not be written down."""
    assert ask(None).code == 0
    sent = len(server.log())
    with sqlite3.connect(ask.home / "ledger.db", isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        (ask.work / "rows.jsonl").write_text('{"prompt": "one"}\n{"prompt": "two"}\n')
        commands = (("run", "another"), ("batch", "rows.jsonl", "-o", "out.jsonl"))
        with ThreadPoolExecutor(2) as both:  # locks are waited for once, 15 s
            ended = list(both.map(lambda args: ask.run("-p", "quick", *args, timeout=40), commands))
        for done in ended:
            assert done.returncode == 3, done.stderr
            assert "locked" in done.stderr and "ledger.db" in done.stderr
    assert len(server.log()) == sent
    assert ask.run("-p", "quick", "run", "another").returncode == 0


def test_fault_73_a_corrupt_ledger_stops_before_the_call(ask: Asker, server: TestServer) -> None:
    """It is the record of what was paid: told, left as it is, and never made anew."""
    ask.home.mkdir(mode=0o700)
    damaged = b"no database " * 1000
    (ask.home / "ledger.db").write_bytes(damaged)
    (ask.work / "rows.jsonl").write_text('{"prompt": "one"}\n')
    ask.profile()
    for args in (
        ("run", "hello"),
        ("batch", "rows.jsonl", "-o", "out.jsonl"),
        ("usage",),
        ("estimate", "hello"),
    ):
        done = ask.run("-p", "quick", *args)
        assert done.returncode == 3, (args, done.stderr)
        assert "ledger.db" in done.stderr and "damaged" in done.stderr
    assert server.log() == []
    assert (ask.home / "ledger.db").read_bytes() == damaged


@pytest.mark.parametrize("amount", ["-1", ".nan", ".inf"])
def test_fault_95_a_limit_that_is_none_stops_every_command(ask: Asker, amount: str) -> None:
    """Exit 3 in a profile, with its place; 2 as an option."""
    (ask.work / "profiles").mkdir()
    (ask.work / "profiles" / "quick.yaml").write_text(
        f"extends: base\nbudgets:\n  - {{limit: {amount}, per: day}}\n"
    )
    for args in (("run", "hello"), ("budget",), ("estimate", "hello")):
        done = ask.run("-p", "quick", *args)
        assert done.returncode == 3, args
        assert "quick.yaml:3: budgets[0].limit" in done.stderr
    ask.profile()
    option = amount.lstrip(".")
    for args in (("run", "hello"), ("estimate", "hello"), ("batch", "-")):
        assert ask.run("-p", "quick", *args, f"--max-cost={option}").returncode == 2
    assert ask.server.log() == []


def test_fault_96_a_batch_on_an_unknown_price_under_a_budget_stops(ask: Asker, server: TestServer) -> None:
    """Exit 6 with what to write into the profile, which then helps."""
    ask.profile(models={"main": "openai/nobody-knows-it"}, budgets=[{"limit": 1, "per": "day"}])
    outcome = ask.batch([{"prompt": "one"}])
    assert outcome.code == 6
    assert "prices: {openai/nobody-knows-it: {input:" in outcome.err
    assert server.log() == []
    prices = {"openai/nobody-knows-it": {"input": 1, "output": 1}}
    ask.profile(
        models={"main": "openai/nobody-knows-it"}, budgets=[{"limit": 1, "per": "day"}], prices=prices
    )
    assert ask.batch([{"prompt": "one"}]).code == 0
