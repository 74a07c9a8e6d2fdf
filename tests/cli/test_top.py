"""The live view: once without a terminal, drawn anew on one, and every name a text."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from llmctl.core.errors import RateLimited

from ..conftest import Run
from ..test_startup import loaded
from ..usage.kit import Kit

HOSTILE = ("<script>alert(1)</script>", "[/x][bold]", "\u202egnp.exe", "🙂", "\x1b[31mred\n")
WRITTEN = ("<script>alert(1)</script>", "[/x][bold]", "\\u202egnp.exe", "🙂", "\\x1b[31mred\\n")


@pytest.fixture
def called(home: Path) -> None:
    """Calls of a minute ago, some failed, under tags that want to be more than text."""
    kit = Kit(home / "ledger.db", group=True)
    for number, tag in enumerate(HOSTILE):
        for _ in range(4):
            kit.call(time.time() - 60 - number, tag=tag, cost=10**9, latency=2.0)
        kit.call(time.time() - 60, tag=tag, error=RateLimited("no"), cost=0)
    kit.done()


@pytest.mark.parametrize("env", [{}, {"FORCE_COLOR": "1", "COLUMNS": "160"}])
def test_without_a_terminal_it_is_written_once(called: None, llmctl: Run, env: dict[str, str]) -> None:
    """Plain lines without control codes, for a log or a pipe; names as they are."""
    done = llmctl("top", "--by", "tag", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "25 calls · 80 % ok · 5 failed · 0 % from the cache · $20.00" in done.stdout
    assert "errors rate_limit 5" in done.stdout
    for name in WRITTEN:
        assert re.search(rf"^{re.escape(name)} +5 +1 +0% +2 s +2 s +60 +\$4\.00$", done.stdout, re.M), name
    assert "\x1b" not in done.stdout


def test_json_has_all_of_it(called: None, home: Path, work: Path, llmctl: Run) -> None:
    """Running batches, budgets and alerts beside the figures; filters hold."""
    (work / "watched.yaml").write_text(
        "extends: dev\nbudgets: [{limit: 5, per: day}]\nalerts: [{metric: error_rate, over: 0.1}]\n"
    )
    told: dict[str, object] = {
        "profile": "dev",
        "model": None,
        "input": "in.jsonl",
        "out": None,
        "ended": None,
        "rows": 10,
    }
    told |= {"pending": 4, "failed": 1, "rows_per_s": 2.0, "cost_usd": 0.5}
    batch = {"run_id": "r1", "owner": "gone:1:1", "at": time.time(), "started": time.time() - 9, **told}
    (home / "running").mkdir()
    (home / "running" / "r1.json").write_bytes(orjson.dumps(batch))
    done = llmctl("top", "--json", "-p", "watched.yaml", "--tag", "🙂", "--by", "profile")
    found = json.loads(done.stdout)
    assert (found["schema"], found["total"]["calls"], found["errors"]) == (1, 5, {"rate_limit": 1})
    assert [each["key"] for each in found["groups"]] == [{"profile": "dev"}]
    assert [each["state"] for each in found["alerts"]] == ["firing"]
    assert found["budgets"][0]["limit_usd"] == 5
    assert (found["batches"][0]["input"], found["batches"][0]["finished"]) == ("in.jsonl", 6)
    plain = llmctl("top", "-p", "watched.yaml").stdout
    assert "firing: error_rate is 20 % (over 10 %), 25 calls in 15 min" in plain
    assert re.search(r"^in\.jsonl +\w+ +█{12}·{8} +6 of 10 +1 +2\.0 +", plain, re.M)


def test_nothing_to_show(llmctl: Run) -> None:
    """A first look, before the first call."""
    done = llmctl("top")
    assert (done.returncode, "no calls" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    "args",
    [("--window", "0m"), ("--window", "soon"), ("--by", "day"), ("--every", "nan"), ("--every", "0")],
)
def test_what_it_does_not_take(args: tuple[str, ...], llmctl: Run) -> None:
    """Exit 2, naming what would do."""
    assert llmctl("top", *args).returncode == 2


def test_it_starts_as_fast_as_a_report(called: None, environ: dict[str, str]) -> None:
    """It is looked at often."""
    assert loaded(environ, "top") == set()


class Terminal:
    """A terminal of 120 by 40 with `llmctl top` in it."""

    def __init__(self, environ: dict[str, str], work: Path, *args: str) -> None:
        self.screen, other = pty.openpty()
        fcntl.ioctl(self.screen, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.said = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llmctl", "top", "--every", "0.2", *args],
            stdin=other, stdout=other, stderr=other, cwd=work, env={**environ, "TERM": "xterm-256color"},
            start_new_session=True,
        )  # fmt: skip
        os.close(other)

    def see(self, text: str, seconds: float = 30) -> None:
        """Waits until that has been drawn since it was last asked."""
        until = time.monotonic() + seconds
        while text not in self.said.decode("utf-8", "replace"):
            assert time.monotonic() < until, self.said[-2000:]
            if select.select([self.screen], [], [], 0.1)[0]:
                self.said += os.read(self.screen, 65536)

    def press(self, key: bytes) -> None:
        self.said = b""
        os.write(self.screen, key)

    def end(self) -> int:
        """The exit code; what it still draws is read, so that it can end."""
        while self.process.poll() is None:
            if select.select([self.screen], [], [], 0.1)[0]:
                try:
                    self.said += os.read(self.screen, 65536)
                except OSError:  # the other side is closed
                    break
        return self.process.wait(30)


@pytest.fixture
def terminal(environ: dict[str, str], work: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open(*args: str, **env: str) -> Terminal:
        opened.append(Terminal({**environ, **env}, work, *args))
        return opened[-1]

    yield open
    for each in opened:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
        os.close(each.screen)


def test_live_on_a_terminal(called: None, home: Path, terminal: Callable[..., Terminal]) -> None:
    """It draws what comes in, follows its keys, and leaves the screen as it found it."""
    shown = terminal()
    shown.see("25 calls")
    kit = Kit(home / "ledger.db")
    kit.number = 100
    kit.call(time.time() - 5)
    kit.done()
    shown.see("26 calls")
    shown.press(b"gg")
    shown.see("[/x][bold]")
    shown.press(b"w")
    shown.see("last 1 h")
    shown.press(b"q")
    assert shown.end() == 0
    assert b"\x1b[?1049l" in shown.said
    assert b"alert(1)" in shown.said or b"<script>" not in shown.said


def test_interrupted(called: None, terminal: Callable[..., Terminal]) -> None:
    """Ctrl-C is the other way out: 130, and not a word."""
    shown = terminal(NO_COLOR="1")
    shown.see("25 calls")
    assert b"\x1b[31m" not in shown.said
    shown.process.send_signal(2)
    assert shown.end() == 130
    assert b"Traceback" not in shown.said
