"""Reports cost what they show, not what the ledger holds."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from llmctl.usage.rollup import REBUILD
from llmctl.usage.schema import connect

ROOT = Path(__file__).parents[2]
FILL = """
    INSERT INTO calls (id, at, run, profile, model, asked, provider, tag, status, input_tokens, output_tokens,
        cost, saved, billed, hit, attempts, latency, ttft, request_hash, prompt_chars)
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :calls)
    SELECT i, 1790000000.0 + i * (2592000.0 / :calls), 'run-' || (i * 100 / :calls), 'prod',
        'openai/m' || (i * 7919 % 5), 'openai/m', 'openai', CASE WHEN i % 3 THEN 'ci' END,
        CASE WHEN i % 31 THEN 'ok' ELSE 'failed' END, i % 2000, i % 500,
        CASE WHEN i % 101 THEN i % 1000000 END, 0, 'yes', CASE WHEN i % 5 = 0 THEN 'exact' END, 1,
        (i * 7919 % 9973) / 2000.0, 0.2, 'h', 10
    FROM n
"""


def filled(folder: Path, calls: int) -> Path:
    """A home whose ledger holds so many calls, spread over thirty days."""
    db = connect(folder / "ledger.db")
    db.execute("BEGIN")
    db.execute(FILL, {"calls": calls})
    for statement in REBUILD.split(";"):
        db.execute(statement)
    db.execute("COMMIT")
    db.close()
    return folder


def shared(folders: pytest.TempPathFactory, calls: int) -> Path:
    """One such home for all workers of a test run, made by the first that needs it; to be read alone."""
    base = folders.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    with (base / f"calls-{calls}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        home, making = base / f"calls-{calls}", base / f"calls-{calls}.making"
        if not home.exists():
            making.mkdir()
            filled(making, calls).rename(home)
    return home


def seconds(home: Path, *args: str) -> tuple[float, int]:
    """The least CPU of three processes that report, and the calls they found."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "LLMCTL_HOME": str(home), "TZ": "Europe/Madrid"}
    found = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-m", "llmctl", "usage", "--json", *args],
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found), json.loads(done.stdout)["total"]["calls"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_million_calls_cost_hardly_more_than_ten_thousand(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """People look at reports every day; the sums kept as calls come in are what makes that cheap."""
    small, large = filled(tmp_path / "small", 10_000), shared(tmp_path_factory, 1_000_000)
    since = "2026-10-01T10:07:13"
    for args in ((), ("--by", "model"), ("--by", "run"), ("--by", "hour"), ("--since", since)):
        few, found = seconds(small, *args)
        many, found_of_many = seconds(large, *args)
        assert found_of_many == pytest.approx(100 * found, rel=0.01)
        assert many <= 5 * few, f"{args}: {many:.2f} s of CPU instead of {few:.2f} s"
