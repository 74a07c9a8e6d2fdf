"""Batches as real processes: written inputs, started commands, and whether what they leave is whole."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmctl.batch.journal import parse
from llmctl.usage.rollup import SIZES

from ..needs import lacking
from ..server.client import TestServer

Row = dict[str, Any]


def questions(count: int, word: str = "question") -> list[Row]:
    return [{"prompt": f"{word} {number}"} for number in range(count)]


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def lines(text: str) -> list[Row]:
    return [json.loads(line) for line in text.splitlines()]


def asked(server: TestServer) -> list[str]:
    """The prompts that reached the server, in order of arrival."""
    return [entry["body"]["messages"][-1]["content"] for entry in server.log()]


def requests(server: TestServer) -> int:
    found: int = server.stats()["requests"]
    return found


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "llmctl", "batch", *map(str, args)]


@dataclass(frozen=True, slots=True)
class Started:
    """A batch that runs in a folder, to be sent signals."""

    process: subprocess.Popen[bytes]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, timeout: float = 60) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, (out or b"").decode(), err.decode()


def start(environ: Mapping[str, str], work: Path, *args: str | Path, prefix: tuple[str, ...] = (),
          stdout: Any = subprocess.PIPE, setup: Callable[[], None] | None = None) -> Started:  # fmt: skip
    process = subprocess.Popen(
        [*prefix, *command(*args)],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=work,
        env=dict(environ),
        preexec_fn=setup,
    )
    return Started(process)


NAMED = {"rename": "rename,renameat,renameat2", "unlink": "unlink,unlinkat"}
"""System calls that go by several names."""


def strace(file: Path, call: str, what: str, log: Path) -> tuple[str, ...]:
    """A command's beginning: what happens to one of its system calls on `file` (absolute), and no other.

    `what` is in strace's words, as `signal=KILL:when=2`. The process started is the command's own.
    """
    found = shutil.which("strace")
    if found is None:
        lacking("strace is not installed")
    calls = NAMED.get(call, call)
    prefix = (found, "-D", "-f", "-qq", "-o", str(log))
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        lacking("strace may not trace here")
    return (*prefix, "-P", str(file), "-e", f"trace={calls}", "-e", f"inject={calls}:{what}")


def until(true: Callable[[], Any], timeout: float = 30) -> None:
    """Waits for something to become true; fails the test where it does not."""
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def assert_whole(journal: Path, home: Path) -> None:
    """The journal is good up to a torn tail, and the ledger is what SQLite calls ok."""
    if journal.exists():
        *whole, tail = journal.read_bytes().split(b"\n")
        assert all(parse(line + b"\n", 0) for line in whole)
        assert len(tail) < 10_000
    ledger = home / "ledger.db"
    if ledger.exists() and ledger.stat().st_size:
        with sqlite3.connect(ledger) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'slots'").fetchone():
                spent(db)


def spent(db: sqlite3.Connection) -> int:
    """The ledger's nano-dollars, which its calls and its sums of every length have to agree on."""
    (calls,) = db.execute("SELECT coalesce(sum(cost), 0) FROM calls").fetchone()
    slots = db.execute("SELECT size, sum(cost) FROM slots GROUP BY size").fetchall()
    assert slots == ([(size, calls) for size in sorted(SIZES)] if slots else [])
    assert slots or not calls
    return int(calls)


def assert_answered(out: Path, rows: list[Row]) -> None:
    """Every row exactly once, in order, with its own answer."""
    found = read(out)
    assert [(row["row"], row["status"]) for row in found] == [(n, "ok") for n in range(len(rows))]
    assert [row["text"] for row in found] == [f"echo: {row['prompt']}" for row in rows]


def doubles(server: TestServer) -> dict[str, int]:
    """Prompts that were asked more than once, and how often."""
    return {prompt: times for prompt, times in Counter(asked(server)).items() if times > 1}


def names(folder: Path) -> set[str]:
    """What lies in a folder, hidden files too."""
    return {path.name for path in folder.iterdir()}
