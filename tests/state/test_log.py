"""The log is lines of JSON that only their owner can read, without keys, and it never grows without end."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from llmctl.core.hidden import KEYS
from llmctl.state.log import FileLog


def lines(folder: Path) -> list[dict[str, Any]]:
    """All lines of all its files, the oldest first."""
    files = sorted(folder.glob("llmctl.log*"), key=lambda path: path.name, reverse=True)
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def test_a_line_says_when_how_grave_which_run_and_what(tmp_path: Path) -> None:
    """A program reads it without knowing us."""
    FileLog(tmp_path, "r1").event("warning", "call", model="m", error=None)
    (line,) = lines(tmp_path)
    assert datetime.fromisoformat(line.pop("time")).utcoffset() is not None
    assert line == {"level": "warning", "run_id": "r1", "event": "call", "model": "m", "error": None}
    assert (tmp_path / "llmctl.log").stat().st_mode & 0o777 == 0o600


def test_what_is_not_wanted_is_not_written(tmp_path: Path) -> None:
    """No file at all, where there is nothing to say."""
    log = FileLog(tmp_path / "logs", "r", level="warning")
    log.event("info", "call")
    assert not (tmp_path / "logs").exists() and log.wants("error") and not log.wants("info")


def test_no_key_passes(tmp_path: Path) -> None:
    """In a value, in a name, inside JSON, inside an object that is no JSON: the last step knows them all."""
    key = "made-up-" + 'c"n\\ary' * 3
    KEYS.add(key)
    log = FileLog(tmp_path, "r")
    log.event("info", "x", a=key, b=[{"c": f"Bearer {key}"}], e=ValueError(key), **{key: 1})
    text = (tmp_path / "llmctl.log").read_text()
    assert "made-up" not in text and text.count("***") == 4


def test_what_cannot_be_encoded_is_written_out(tmp_path: Path) -> None:
    """A log must take whatever comes: the call that it tells of is paid for."""
    FileLog(tmp_path, "r").event("info", "x", path=Path("/x"), odd={1: b"\xff"}.keys(), line="a\nb\u2028c")
    assert lines(tmp_path)[0]["path"] == "/x"


def test_many_lines_wait_for_their_turn(tmp_path: Path) -> None:
    """A batch writes them in groups; nothing is opened for one."""
    log = FileLog(tmp_path / "logs", "r", group=True)
    for n in range(50):
        log.event("info", "x", n=n)
    assert not (tmp_path / "logs").exists()
    log.flush()
    assert [line["n"] for line in lines(tmp_path / "logs")] == list(range(50))


def test_it_is_turned_over_by_size(tmp_path: Path) -> None:
    """The newest lines stay, in so many files as are wanted."""
    log = FileLog(tmp_path, "r", max_bytes=4096, keep=2)
    for n in range(200):
        log.event("info", "x", n=n, fill="-" * 50)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["llmctl.log", "llmctl.log.1", "llmctl.log.2"]
    assert all(path.stat().st_size <= 4096 for path in tmp_path.iterdir())
    kept = [line["n"] for line in lines(tmp_path)]
    assert kept == list(range(kept[0], 200)) and len(kept) > 40


def test_processes_share_it(tmp_path: Path) -> None:
    """Lines of several come whole, also while one of them turns it over; none is lost."""
    code = (
        "import sys, pathlib; from llmctl.state.log import FileLog\n"
        "log = FileLog(pathlib.Path(sys.argv[1]), sys.argv[2], max_bytes=20_000, keep=50)\n"
        "for n in range(300): log.event('info', 'x', n=n, fill='-' * 50)"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "abc"]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    found = sorted((line["run_id"], line["n"]) for line in lines(tmp_path))
    assert found == [(name, n) for name in "abc" for n in range(300)]
    assert len(list(tmp_path.iterdir())) > 3


@pytest.mark.parametrize("planted", ["link", "folder"])
def test_a_log_that_cannot_be_written(tmp_path: Path, planted: str) -> None:
    """It is warned of once; a link is not followed."""
    said: list[str] = []
    if planted == "link":
        (tmp_path / "llmctl.log").symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "llmctl.log").mkdir()
    log = FileLog(tmp_path, "r")
    log.warn = said.append
    log.event("info", "x")
    log.event("info", "x")
    assert len(said) == 1 and "going on without it" in said[0]
    assert not (tmp_path / "elsewhere").exists()


def test_people_hear_of_it(tmp_path: Path) -> None:
    """`-v`: a line without hashes of what went wrong; the rest a command tells in its own way."""
    told: list[str] = []
    log = FileLog(tmp_path, "r", level="debug")
    log.tell = told.append
    log.event("debug", "call", model="m")
    log.event("info", "library", logger="httpx")
    log.event("warning", "call", model="m", error="rate_limit", request_hash="abc", tag=None)
    (line,) = told
    assert line.endswith("warning call: model=m error=rate_limit")
