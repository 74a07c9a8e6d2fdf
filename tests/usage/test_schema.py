"""A ledger that is opened by many, by newer and older versions, damaged, locked or full."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmctl.core.errors import StorageError
from llmctl.usage import schema
from llmctl.usage.report import Query, report
from llmctl.usage.schema import MIGRATIONS, connect, reading, version

from .kit import Kit, when

ROOT = Path(__file__).parents[2]


def test_a_new_ledger_is_its_owners_alone(tmp_path: Path) -> None:
    """It tells what was asked and paid: no one else's business."""
    os.umask(0)
    kit = Kit(tmp_path / "home" / "ledger.db")
    kit.call(when("2026-11-22"))
    for path in [tmp_path / "home", *(tmp_path / "home").iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    kit.done()


def test_an_older_ledger_gets_its_sums(tmp_path: Path) -> None:
    """Calls written before sums were kept must not be missing from reports."""
    path = tmp_path / "ledger.db"
    kit = Kit(path)
    for hour in range(5):
        kit.call(when(f"2026-11-22T0{hour}:10"), latency=2.0, cost=5)
    kit.done()
    db = sqlite3.connect(path)
    db.executescript(
        "DROP TABLE slots; DROP TABLE runs; DROP TABLE kinds; ALTER TABLE calls DROP COLUMN template;"
        " PRAGMA user_version = 1;"
    )
    db.close()
    found = report(path, Query(by=("day",), tz="UTC"))
    assert (found.total.calls, found.total.cost) == (5, 25)
    with reading(path) as opened:
        assert version(opened) == len(MIGRATIONS)
        assert opened.execute("SELECT sum(calls) FROM slots WHERE size = 900").fetchone() == (5,)


def test_a_newer_ledger_is_left_alone(tmp_path: Path) -> None:
    """An old program must not write what it does not understand."""
    path = tmp_path / "ledger.db"
    Kit(path).ledger.close()
    connect(path).execute("PRAGMA user_version = 99").connection.close()
    for use in (lambda: connect(path), lambda: report(path, Query())):
        with pytest.raises(StorageError, match="newer llmctl"):
            use()


@pytest.mark.parametrize("damage", ["text", "header", "middle", "table"])
def test_a_damaged_ledger_is_said_to_be_and_kept(tmp_path: Path, damage: str) -> None:
    """Made anew it would hide what was paid: exit 3, and the file stays as it is."""
    path = tmp_path / "ledger.db"
    kit = Kit(path)
    for number in range(400):
        kit.call(when("2026-11-22") + number * 60)
    kit.done()
    if damage == "table":
        db = sqlite3.connect(path)
        db.executescript("DROP TABLE slots; DROP TABLE calls;")
        db.close()
    else:
        data = bytearray(path.read_bytes())
        place = {"text": slice(0, len(data)), "header": slice(0, 100), "middle": slice(4096, len(data))}[
            damage
        ]
        data[place] = b"\x07" * (place.stop - place.start)
        path.write_bytes(data)
    before = path.read_bytes()
    with pytest.raises(StorageError, match="damaged") as told:
        report(path, Query())
    assert told.value.exit_code == 3
    assert str(path) in told.value.message
    assert path.read_bytes() == before


def test_a_ledger_that_lost_its_version_is_damaged_too(tmp_path: Path) -> None:
    """Tables without a version would be made a second time."""
    path = tmp_path / "ledger.db"
    kit = Kit(path)
    kit.call(when("2026-11-22"))
    db = sqlite3.connect(kit.done())
    db.execute("PRAGMA user_version = 0")
    db.close()
    with pytest.raises(StorageError, match="damaged"):
        report(path, Query())


def test_a_locked_ledger_is_waited_for_and_then_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may hold it for a minute: a bounded wait, never a hang."""
    monkeypatch.setattr(schema, "WAIT_S", 0.3)
    path = tmp_path / "ledger.db"
    kit = Kit(path)
    kit.call(when("2026-11-22"))
    kit.done()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    holder.execute("DELETE FROM kinds WHERE id < 0")
    for use in (lambda: report(path, Query()), lambda: Kit(path).call(when("2026-11-22"))):
        began = time.monotonic()
        with pytest.raises(StorageError, match=r"locked by another process for 0\.3 s"):
            use()
        assert time.monotonic() - began < 10
    holder.close()
    assert report(path, Query()).total.calls == 1


def test_a_report_does_not_wait_for_a_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that writes all the time must not keep people from looking."""
    monkeypatch.setattr(schema, "WAIT_S", 0.2)
    kit = Kit(tmp_path / "ledger.db")
    kit.call(when("2026-11-22"))
    writer = connect(kit.path)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM calls")
    assert report(kit.path, Query()).total.calls == 1
    writer.execute("ROLLBACK")
    writer.close()
    kit.done()


def test_a_migration_that_never_ends_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock of a first start belongs to a process that may hang."""
    monkeypatch.setattr(schema, "WAIT_S", 0.2)
    path = tmp_path / "ledger.db"
    with path.with_name("ledger.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StorageError, match="locked"):
            connect(path)


def test_a_report_never_makes_a_ledger(tmp_path: Path) -> None:
    """Looking leaves no trace, least of all an empty ledger."""
    found = report(tmp_path / "none" / "ledger.db", Query())
    assert (found.total.calls, found.groups) == (0, ())
    assert not (tmp_path / "none").exists()


def test_twenty_processes_at_a_first_start(tmp_path: Path) -> None:
    """CI starts all its jobs at once on a machine that has no ledger yet."""
    code = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tests.usage.kit import Kit
kit = Kit(Path(sys.argv[1]), group=sys.argv[2] == "1")
kit.number = int(sys.argv[3]) * 100
time.sleep(max(0, float(sys.argv[4]) - time.time()))
for number in range(5):
    kit.call(1790000000.0 + number, cost=3)
kit.done()
"""
    path = tmp_path / "home" / "ledger.db"
    begin = str(time.time() + 1.5)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(path), str(number % 2), str(number), begin],
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(20)
    ]
    said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0] * 20, said
    found = report(path, Query(by=("model",)))
    assert (found.total.calls, found.total.cost, found.total.attempts) == (100, 300, 100)
    with reading(path) as db:
        assert db.execute("SELECT sum(calls), sum(cost) FROM slots WHERE size = 21600").fetchone() == (
            100,
            300,
        )
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
