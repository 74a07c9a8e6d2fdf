"""Killed at any moment, started again: nothing lost, next to nothing paid twice."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ..conftest import Run
from ..server.client import TestServer
from .harness import assert_answered, assert_whole, names, questions, requests, start, write
from .kills import torture


@pytest.mark.slow
def test_killed_at_random_moments(
    server: TestServer, environ: dict[str, str], work: Path, home: Path, llmctl: Run
) -> None:
    """Power cuts and out-of-memory kills come when they like: fault 54 and 60."""
    server.script(latency=0.02)
    report = torture(server, environ, work, kills=6)
    assert report.kills >= 6
    assert report.again > 0, "no kill hit a request in flight: it proves nothing"
    assert llmctl("usage", "--json").returncode == 0


POINTS = [
    ("pwrite64", 1), ("pwrite64", 7), ("pwrite64", 40), ("ftruncate", 1), ("fdatasync", 1), ("fdatasync", 3),
    ("fsync", 1), ("rename", 1), ("rename", 2), ("unlink", 1), ("write", 3), ("write", 9),
]  # fmt: skip


def strace(inject: str, log: Path) -> tuple[str, ...]:
    """A command's beginning that lets a system call fail or kill."""
    found = shutil.which("strace")
    if found is None:
        pytest.skip("needs strace")
    call = inject.partition(":")[0]
    calls = (
        f"{call},renameat,renameat2" if call == "rename" else f"{call},unlinkat" if call == "unlink" else call
    )
    prefix = (
        found,
        "-f",
        "-qq",
        "-o",
        str(log),
        "-e",
        f"trace={calls}",
        "-e",
        f"inject={calls}:{inject.partition(':')[2]}",
    )
    probe = subprocess.run([*prefix[:5], "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("strace may not trace here")
    return prefix


@pytest.mark.slow
@pytest.mark.parametrize(("call", "when"), POINTS)
def test_killed_at_a_system_call(
    call: str, when: int, server: TestServer, environ: dict[str, str], work: Path, home: Path, tmp_path: Path,
    llmctl: Run,
) -> None:  # fmt: skip
    """Chance seldom hits the moment between two renames: fault 55."""
    rows = questions(60)
    rows[5] = {"prompt": "this one fails"}
    server.script(match=[{"contains": "fails", "queue": ["status:400"]}])
    write(work / "in.jsonl", rows)
    prefix = strace(f"{call}:signal=KILL:when={when}", tmp_path / "strace.log")
    code, _, _ = start(environ, work, "in.jsonl", "-o", "out.jsonl", prefix=prefix).end()
    assert code not in (1, 2, 3)
    assert_whole(work / "out.jsonl.journal", home)
    first = requests(server)
    server.script()
    done = llmctl("batch", "in.jsonl", "-o", "out.jsonl", "--retry-failed")
    assert done.returncode == 0, done.stderr
    assert_answered(work / "out.jsonl", rows)
    assert requests(server) <= max(first, 60) + 32 + 1
    assert names(work) == {"in.jsonl", "out.jsonl", "out.jsonl.journal"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "inject", ["pwrite64:error=ENOSPC:when=8+", "pwrite64:error=EIO:when=20", "fdatasync:error=EIO:when=2",
               "rename:error=EACCES:when=1+", "fsync:error=EIO:when=1"],
)  # fmt: skip
def test_a_failing_system_call(
    inject: str,
    server: TestServer,
    environ: dict[str, str],
    work: Path,
    home: Path,
    tmp_path: Path,
    llmctl: Run,
) -> None:
    """A disk that refuses is told in one line, and what is finished is there the next time: fault 55."""
    rows = questions(60)
    write(work / "in.jsonl", rows)
    prefix = strace(inject, tmp_path / "strace.log")
    code, _, err = start(
        environ, work, "in.jsonl", "-o", "out.jsonl", "--concurrency", "5", prefix=prefix
    ).end()
    assert "Traceback" not in err
    assert code == 3, err
    assert_whole(work / "out.jsonl.journal", home)
    assert llmctl("batch", "in.jsonl", "-o", "out.jsonl").returncode == 0
    assert_answered(work / "out.jsonl", rows)
    assert requests(server) <= 60 + 5
