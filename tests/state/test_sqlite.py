"""The file that processes share: private, whole, never waited for without end, never made anew."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from llmctl.core.errors import StorageError
from llmctl.core.ports import Account, Full
from llmctl.state import owner
from llmctl.state.sqlite import SqliteState

ROOT = Path(__file__).resolve().parents[2]
PRELUDE = """
import os, sys, time
from pathlib import Path
from llmctl.core.errors import StorageError
from llmctl.core.ports import Account, Full
from llmctl.state.sqlite import SqliteState
state = SqliteState(Path(sys.argv[1]), time.time)
account = Account("a", 100)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the state lies; its folder is not there yet."""
    return tmp_path / "home" / "state.db"


def python(code: str, path: Path) -> subprocess.Popen[str]:
    """Another process on the same state."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, str(path)], stdout=subprocess.PIPE, text=True, env=environ
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody holds the file and does not let go."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        db.close()


def test_files_are_the_owners_alone(path: Path) -> None:
    """Whatever the umask says: what is spent is nobody else's business."""
    before = os.umask(0)
    try:
        state = SqliteState(path, time.time)
        state.set("a", 1)
        modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert set(modes) >= {"state.db", "state.db-wal"}
    assert set(modes.values()) == {0o600}


def test_twenty_processes_at_a_first_start(path: Path) -> None:
    """The tables are made once, by one, and no process stumbles over another."""
    code = "print(state.add('a', 1, ceiling=15))"
    processes = [python(code, path) for _ in range(20)]
    found = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * 20
    assert sorted(map(int, set(found) - {"None"})) == list(range(1, 16))
    assert found.count("None") == 5


@pytest.mark.parametrize("content", [b"no database " * 500, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_damaged_file_is_told_and_left_as_it_is(path: Path, content: bytes) -> None:
    """Made anew it would have forgotten what is spent."""
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StorageError, match="damaged"):
        SqliteState(path, time.time).hold([Account("a", 1)], 1, 30)
    assert path.read_bytes() == content


def test_a_file_of_a_newer_version_is_not_touched(path: Path) -> None:
    """Its counters may mean something else."""
    SqliteState(path, time.time).set("a", 1)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StorageError, match="newer llmctl"):
        SqliteState(path, time.time).get("a")


def test_tables_that_are_missing_are_damage(path: Path) -> None:
    """A counter that is not there is not a counter at 0."""
    state = SqliteState(path, time.time)
    state.set("a", 1)
    state.close()
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE counters")
    with pytest.raises(StorageError, match="damaged"):
        SqliteState(path, time.time).get("a")


def test_a_lock_is_waited_for_and_not_for_ever(path: Path) -> None:
    """Somebody else's hanging process must not hang this one."""
    SqliteState(path, time.time).set("a", 1)
    state = SqliteState(path, time.time, wait=0.3)
    with locked(path):
        began = time.monotonic()
        with pytest.raises(StorageError, match="locked by another process"):
            state.hold([Account("a", 10)], 1, 30)
        assert 0.2 < time.monotonic() - began < 10
    assert isinstance(state.hold([Account("a", 10)], 1, 30), int)
    assert state.get("a") == 2


def test_a_lock_at_the_first_start_is_not_waited_for_for_ever_either(path: Path) -> None:
    """The file is there, its tables are not, and somebody holds it."""
    path.parent.mkdir()
    with locked(path), pytest.raises(StorageError, match="locked by another process"):
        SqliteState(path, time.time, wait=0.3).get("a")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Told before anything is paid."""
    (tmp_path / "home").write_text("a file")
    with pytest.raises(StorageError):
        SqliteState(tmp_path / "home" / "state.db", time.time).get("a")


def test_an_interruption_leaves_nothing_half_written(path: Path) -> None:
    """Ctrl-C may come between any two lines: then neither counter has changed."""
    ticks = 0

    def now() -> float:
        nonlocal ticks
        ticks += 1
        if ticks == 3:
            raise KeyboardInterrupt
        return time.time()

    state = SqliteState(path, time.time)
    state.add("a", 1, ttl=1000)
    state.add("b", 1, ttl=1000)
    clumsy = SqliteState(path, now)
    with pytest.raises(KeyboardInterrupt):
        clumsy.hold([Account("a", 10), Account("b", 10)], 5, 30)
    assert (state.get("a"), state.get("b"), state.held()) == (1, 1, [])
    assert isinstance(clumsy.hold([Account("a", 10)], 5, 30), int)


def test_a_full_disk_refuses_and_changes_nothing(path: Path) -> None:
    """The process may write no file beyond its present size, as on a full disk."""
    code = """
import resource
state.add("a", 1)
sizes = [each.stat().st_size for each in Path(sys.argv[1]).parent.iterdir()]
resource.setrlimit(resource.RLIMIT_FSIZE, (max(sizes), resource.RLIM_INFINITY))
held = 0
try:
    for _ in range(1000):
        assert isinstance(state.hold([Account("a", 10**6)], 1, 30), int)
        held += 1
except StorageError as error:
    print(error.exit_code)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(state.get("a") == 1 + held == 1 + len(state.held()))
"""
    out, _ = python(code, path).communicate(timeout=60)
    assert out.split() == ["3", "True"]


HOLD = """
hold = state.hold([account], 60, 3600)
print(hold, flush=True)
{sent}
time.sleep(60)
"""


@pytest.mark.parametrize("reaped", [False, True])
def test_what_a_killed_process_held_and_had_not_sent_is_free(path: Path, reaped: bool) -> None:
    """At once, not after the hour of its lease, also while nobody has asked how it ended."""
    state = SqliteState(path, time.time)
    process = python(HOLD.format(sent=""), path)
    assert line(process).isdigit()
    assert isinstance(state.hold([Account("a", 100)], 60, 30), Full)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    if reaped:
        process.wait()
    assert isinstance(state.hold([Account("a", 100)], 60, 30), int)
    assert state.get("a") == 60
    process.wait()


def test_what_a_killed_process_had_sent_stays_counted(path: Path) -> None:
    """The provider got it, and may bill it."""
    state = SqliteState(path, time.time)
    process = python(HOLD.format(sent="state.sent(hold); print('sent', flush=True)"), path)
    hold = int(line(process))
    assert line(process) == "sent"
    process.kill()
    process.wait()
    assert isinstance(state.hold([Account("a", 100)], 60, 30), Full)
    assert state.held() == []
    assert state.get("a") == 60
    assert state.settle(hold, 20) == {"a": 20}


def test_a_stopped_process_still_holds(path: Path) -> None:
    """It is not dead: it may wake up and send."""
    state = SqliteState(path, time.time)
    process = python(HOLD.format(sent=""), path)
    assert line(process).isdigit()
    os.kill(process.pid, signal.SIGSTOP)
    assert isinstance(state.hold([Account("a", 100)], 60, 30), Full)
    process.kill()
    process.wait()


def test_a_forked_process_opens_its_own(path: Path) -> None:
    """SQLite's connections do not survive a fork, and a child's money is not its parent's."""
    code = """
state.hold([account], 10, 3600)
child = os.fork()
if child == 0:
    print(state.hold([account], 20, 3600) > 0, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(sorted(each.amount for each in state.held()), state.get("a"))
"""
    out, _ = python(code, path).communicate(timeout=60)
    assert out.splitlines() == ["True", "[10] 10"]


def test_the_owner_of_this_process_lives() -> None:
    """Or it would take back its own money."""
    assert not owner.is_dead(owner.me())


def test_a_number_used_again_is_another_process() -> None:
    """The kernel gives numbers out again; the start tells them apart."""
    machine, _, pid = owner.me().rpartition(":")[0].rpartition(":")
    assert owner.is_dead(f"{machine}:{pid}:1")


def test_nobody_here_can_tell_of_another_machine() -> None:
    """There the lease alone decides: a shared folder is seen from several containers."""
    assert not owner.is_dead("elsewhere/1:999999999:5")
    assert owner.is_dead(f"{owner._machine()}:999999999:5")


def test_the_file_does_not_grow_with_the_calls(path: Path) -> None:
    """Holds are deleted as they settle; a year of hours is a few rows."""
    state = SqliteState(path, time.time)
    for _ in range(300):
        hold = state.hold([Account("a", 10**9)], 5, 30)
        assert isinstance(hold, int)
        state.settle(hold, 1)
    state.close()
    assert path.stat().st_size < 50_000
