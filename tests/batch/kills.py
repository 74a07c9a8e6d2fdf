"""Kills a batch at random moments and starts it again until it ends. Used by a test and by bench/kill.py."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..server.client import TestServer
from .harness import assert_answered, assert_whole, questions, requests, spent, start, write

CONCURRENCY = 20
PROFILE = "extends: dev\nbudgets: [{limit: 1000, per: total}]\n"


@dataclass(slots=True)
class Report:
    """What it came to. `again` counts requests beyond one a row; money is in nano-dollars."""

    kills: int = 0
    batches: int = 0
    rows: int = 0
    requests: int = 0
    ledger: int = 0
    budget: int = 0

    @property
    def again(self) -> int:
        return self.requests - self.rows


def torture(
    server: TestServer, environ: Mapping[str, str], work: Path, *, kills: int, rows: int = 2000, seed: int = 0
) -> Report:
    """Batches of `rows` rows, until `kills` kills have hit one. AssertionError where a promise is broken."""
    chance = random.Random(seed)
    home = Path(environ["LLMCTL_HOME"])
    report = Report()
    (work / "profiles").mkdir()
    (work / "profiles/killed.yaml").write_text(PROFILE, encoding="utf-8")
    while report.kills < kills:
        asked = questions(rows, f"question {report.batches} of seed {seed}, row")
        source, out = write(work / f"in{report.batches}.jsonl", asked), work / f"out{report.batches}.jsonl"
        began, killed = requests(server), report.kills
        while not _once(server, environ, work, source, out, moment(chance), last=report.kills >= kills):
            report.kills += 1
            assert_whole(Path(f"{out}.journal"), home)
        assert_answered(out, asked)
        sent = requests(server) - began
        assert sent - rows <= (report.kills - killed) * CONCURRENCY, "more was paid again than was in flight"
        report.batches += 1
        report.rows += rows
        report.requests += sent
        report.ledger, report.budget = money(environ, work)
        assert report.budget >= report.ledger > 0, "the budget has forgotten what was paid"
    return report


def money(environ: Mapping[str, str], work: Path) -> tuple[int, int]:
    """Nano-dollars in the ledger, and what the budget counts as spent."""
    with sqlite3.connect(Path(environ["LLMCTL_HOME"]) / "ledger.db") as db:
        ledger = spent(db)
    asked = [sys.executable, "-m", "llmctl", "budget", "-p", "killed", "--json"]
    told = subprocess.run(asked, cwd=work, env=dict(environ), capture_output=True, check=True)
    (budget,) = json.loads(told.stdout)["budgets"]
    return ledger, round(budget["spent_usd"] * 1e9)


def moment(chance: random.Random) -> tuple[bool, float]:
    """When to kill: so many seconds after the start, or (more often) after the first request."""
    return chance.random() < 0.8, chance.uniform(0, 0.8)


def _once(
    server: TestServer,
    environ: Mapping[str, str],
    work: Path,
    source: Path,
    out: Path,
    when: tuple[bool, float],
    *,
    last: bool,
) -> bool:
    """Whether the batch ended before it was to be killed; the last is let live."""
    before = requests(server)
    args = ("-p", "killed", source, "-o", out, "--concurrency", str(CONCURRENCY), "-q")
    started = start(environ, work, *args)
    running, seconds = when
    if not last:
        while running and started.process.poll() is None and requests(server) == before:
            time.sleep(0.01)
        try:
            started.process.wait(seconds)
        except subprocess.TimeoutExpired:
            started.signal(signal.SIGKILL)
            started.end()
            return False
    code, _, err = started.end(300)
    assert code == 0, err
    return True
