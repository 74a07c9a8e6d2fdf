"""How the tests of faults ask: the command as a process, then what server, ledger and cache saw of it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from tests.server.client import TestServer

KEY = "sk-" + "test" * 6
PROMPT = "whisper zebra 4711 twice"
ANSWER = f"echo: {PROMPT}"
QUICK: Mapping[str, Any] = {
    "extends": "base",
    "models": {"main": "openai/gpt-4o-mini"},
    "retry": {"attempts": 3, "base": 0.01, "cap": 0.05},
    "timeout": {"connect": 10, "first": 20, "idle": 20, "total": 30},
}
"""A profile that comes back soon."""
SHORT = {"first": 1, "idle": 1, "total": 30}
Row = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """One command: its end, the requests that the server saw, and what the ledger then holds of it."""

    code: int
    out: str
    err: str
    seconds: float
    requests: list[Row]
    calls: list[Row]
    attempts: list[Row]

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[Row]:
        """The output of a batch on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]

    def billed(self) -> list[str]:
        """How each attempt was billed, checked against the call's own word."""
        found = [attempt["billed"] for attempt in self.attempts]
        for call in self.calls:
            own = {each["billed"] for each in self.attempts if each["call"] == call["id"]}
            assert call["billed"] == next(word for word in ("unknown", "yes", "no") if word in own)
        return found

    def gaps(self) -> list[float]:
        """Seconds between the requests' arrivals."""
        times = [request["t"] for request in self.requests]
        return [later - earlier for earlier, later in pairwise(times)]


class Asker:
    """Runs `llmctl run` and `llmctl batch` under a profile in the test's own folder."""

    def __init__(
        self,
        run: Callable[..., subprocess.CompletedProcess[str]],
        server: TestServer,
        home: Path,
        work: Path,
    ) -> None:
        self.run = run
        self.server = server
        self.home = home
        self.work = work

    def profile(self, **changes: Any) -> None:
        """Profile `quick`, with some sections replaced."""
        folder = self.work / "profiles"
        folder.mkdir(exist_ok=True)
        (folder / "quick.yaml").write_text(yaml.safe_dump({**QUICK, **changes}))

    def __call__(
        self, fault: str | None = None, *args: str, env: Mapping[str, str] | None = None, **script: Any
    ) -> Outcome:
        """`run` against a server that answers with the fault, every time unless `script` says more."""
        self.server.script(**({"default": fault} if fault else {}), **script)
        return self.done("run", *args, PROMPT, env=env)

    def batch(self, rows: list[Row], *args: str, **script: Any) -> Outcome:
        """`batch` over the rows, their answers on stdout."""
        self.server.script(**script)
        source = self.work / "rows.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return self.done("batch", str(source), *args)

    def done(self, *args: str, env: Mapping[str, str] | None = None) -> Outcome:
        if not (self.work / "profiles" / "quick.yaml").exists():
            self.profile()
        before, since = len(self.server.log()), self._ids()
        began = time.monotonic()
        done = self.run("-p", "quick", *args, env=env)
        seconds = time.monotonic() - began
        self.private(done.stderr)
        return Outcome(
            done.returncode,
            done.stdout,
            done.stderr,
            seconds,
            self.server.log(before),
            self.table("calls", since["calls"]),
            self.table("attempts", since["attempts"]),
        )

    def private(self, text: str) -> None:
        """Neither key nor prompt nor traceback, whatever went wrong."""
        assert KEY not in text and PROMPT not in text and "zebra" not in text
        assert "Traceback" not in text and "a bug in llmctl" not in text

    def table(self, name: str, after: int = 0) -> list[Row]:
        """The ledger's rows."""
        ledger = self.home / "ledger.db"
        if not ledger.exists():
            return []
        with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as db:
            db.row_factory = sqlite3.Row
            found = db.execute(f"SELECT * FROM {name} WHERE id > ? ORDER BY id", (after,))
            return [dict(row) for row in found]

    def _ids(self) -> dict[str, int]:
        return {
            name: max((row["id"] for row in self.table(name)), default=0) for name in ("calls", "attempts")
        }

    def asks_again(self) -> None:
        """Nothing was stored: the same question goes out once more, and gets its answer."""
        again = self(None)
        assert (again.code, again.out, len(again.requests)) == (0, ANSWER + "\n", 1)


def one_line(outcome: Outcome, *words: str) -> None:
    """One line that names the profile, the cause and, in brackets at its end, the next step."""
    lines = outcome.err.splitlines()
    assert len(lines) == 1, outcome.err
    assert lines[0].startswith("llmctl: profile quick: ") and lines[0].endswith(")")
    missing = [word for word in words if word.lower() not in lines[0].lower()]
    assert not missing, f"{missing} not in: {lines[0]}"


def failed(outcome: Outcome, code: int, error: str, requests: int, billed: str, *words: str) -> None:
    """The exit code, one clear line, the count of requests, and what the ledger tells of them."""
    assert outcome.code == code, outcome.err
    one_line(outcome, *words)
    assert len(outcome.requests) == requests
    assert outcome.billed() == [billed] * len(outcome.attempts)
    assert [attempt["error"] for attempt in outcome.attempts] == [error] * len(outcome.attempts)
    assert {attempt["state"] for attempt in outcome.attempts} == {"failed"}
    (call,) = outcome.calls
    assert (call["status"], call["error"], call["attempts"]) == ("failed", error, len(outcome.attempts))
    assert (call["cost"] is None) == (billed == "unknown")
