"""What a turn under a rate limit costs, and how well four processes keep one: python -m bench.pace.

The baseline of a turn is a bare transaction of SQLite on a file of the same kind: one read, one write.
The limit is kept by four batches at once for a minute and more; what counts is the fullest 60 s window of
their requests' arrivals, against what the limit allows.
"""

from __future__ import annotations

import argparse
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.batch import environ, make_rows
from bench.measure import record, table
from llmctl.resilience.lane import Lane
from llmctl.state.sqlite import SqliteState
from tests.faults.standing import most_within
from tests.server.client import TestServer

TURNS = 5000
PROCESSES = 4


def microseconds(once: Callable[[], object]) -> float:
    """CPU of one of many."""
    began = time.process_time()
    for _ in range(TURNS):
        once()
    return (time.process_time() - began) / TURNS * 1e6


def turn() -> dict[str, float]:
    """A turn of ours, and a transaction of nobody's."""
    with tempfile.TemporaryDirectory() as folder:
        state = SqliteState(Path(folder) / "state.db", time.time)
        lane = Lane("rate/bench", lambda: state, time.monotonic)
        ours = microseconds(lambda: lane.take(1e-7))
        state.close()
        bare = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        bare.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
        bare.executescript("CREATE TABLE t (k TEXT PRIMARY KEY, v INTEGER); INSERT INTO t VALUES ('a', 0);")

        def transaction() -> None:
            bare.execute("BEGIN IMMEDIATE")
            value = bare.execute("SELECT v FROM t WHERE k = 'a'").fetchone()[0]
            bare.execute("UPDATE t SET v = ? WHERE k = 'a'", (value + 1,))
            bare.execute("COMMIT")

        return {"turn_us": round(ours, 1), "bare_us": round(microseconds(transaction), 1)}


def minute(rpm: int, seconds: float) -> dict[str, float]:
    """Four batches under one limit; the fullest minute of what arrived."""
    with tempfile.TemporaryDirectory() as place, TestServer.start() as server:
        folder = Path(place)
        make_rows(folder / "rows.jsonl", rpm)
        started = []
        for number in range(PROCESSES):
            command = [sys.executable, "-m", "llmctl", "batch", str(folder / "rows.jsonl"), "-p", "dev", "-q"]
            command += ["-o", str(folder / f"out{number}.jsonl"), "--rpm", str(rpm), "--no-cache"]
            started.append(subprocess.Popen(command, env=environ(folder, server)))
        time.sleep(seconds)
        for process in started:
            process.terminate()
        for process in started:
            process.wait()
        most = most_within(sorted(server.stats()["times"]), 60.0)
    return {"rpm": rpm, "most_in_60_s": most, "used": round(most / rpm, 3)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rpm", type=int, default=600)
    parser.add_argument("--seconds", type=float, default=75)
    options = parser.parse_args()
    found = {**turn(), **minute(options.rpm, options.seconds)}
    table([["figure", "value"], *([name, f"{value:g}"] for name, value in found.items())])
    record("pace", found)


if __name__ == "__main__":
    main()
