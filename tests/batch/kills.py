"""Kills a batch at random moments and starts it again until it ends. Used by a test and by bench/kill.py."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..server.client import TestServer
from .harness import assert_answered, assert_whole, questions, requests, start, write

CONCURRENCY = 20


@dataclass(slots=True)
class Report:
    """What it came to. `again` counts requests beyond one a row."""

    kills: int = 0
    batches: int = 0
    rows: int = 0
    requests: int = 0

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
    return report


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
    args = ("-p", "dev", source, "-o", out, "--concurrency", str(CONCURRENCY), "-q")
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
