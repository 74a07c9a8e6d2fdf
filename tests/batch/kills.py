"""Kills a batch at random moments and starts it again until it ends. Used by a test and by bench/kill.py."""

from __future__ import annotations

import random
import signal
import subprocess
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
        while not _once(environ, work, source, out, chance.uniform(0.2, 1.2), last=report.kills >= kills):
            report.kills += 1
            assert_whole(Path(f"{out}.journal"), home)
        assert_answered(out, asked)
        sent = requests(server) - began
        assert sent - rows <= (report.kills - killed) * CONCURRENCY, "more was paid again than was in flight"
        report.batches += 1
        report.rows += rows
        report.requests += sent
    return report


def _once(
    environ: Mapping[str, str], work: Path, source: Path, out: Path, seconds: float, *, last: bool
) -> bool:
    """Whether the batch ended before it was to be killed; the last is let live."""
    args = ("-p", "dev", source, "-o", out, "--concurrency", str(CONCURRENCY), "-q")
    started = start(environ, work, *args)
    try:
        code = started.process.wait(None if last else seconds)
    except subprocess.TimeoutExpired:
        started.signal(signal.SIGKILL)
        started.end()
        return False
    assert code == 0, started.end()
    started.end()
    return True
