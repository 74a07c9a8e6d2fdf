"""How the tests of standing up to providers ask: a profile, commands as processes, what the server saw."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..conftest import Run
from ..server.client import TestServer

Row = dict[str, Any]
QUICK: Mapping[str, Any] = {
    "extends": "base",
    "models": {"main": "openai/gpt-4o-mini"},
    "retry": {"attempts": 3, "base": 0.02, "cap": 0.1},
    "timeout": {"connect": 2, "first": 5, "idle": 5, "total": 20},
    "cache": False,
}
"""A profile that gives up soon, and asks the same thing again when it is asked."""
A, B = "sk-" + "a" * 20, "sk-" + "b" * 20
POOL = {"models": {"main": {"model": "openai/gpt-4o-mini", "keys": ["env:KEY_A", "env:KEY_B"]}}}
KEYS = {"KEY_A": A, "KEY_B": B}
BROKEN = {"models": {"main": "openai/gpt-4o-mini", "other": "openai/gpt-4.1"}, "fallback": ["main", "other"]}


@dataclass(frozen=True, slots=True)
class Table:
    """The command under a profile of the test's own, with a server and a home."""

    run: Run
    server: TestServer
    work: Path
    environ: Mapping[str, str]

    def profile(self, **changes: Any) -> None:
        """The profile `quick`, with some sections replaced; it is the default from now on."""
        (self.work / "profiles").mkdir(exist_ok=True)
        (self.work / "profiles" / "quick.yaml").write_text(yaml.safe_dump({**QUICK, **changes}))
        (self.work / "llmctl.yaml").write_text("profile: quick\n")

    def rows(self, count: int, name: str = "in.jsonl", word: str = "row") -> Path:
        path = self.work / name
        path.write_text("".join(json.dumps({"prompt": f"{word} {n}"}) + "\n" for n in range(count)))
        return path

    def batch(self, *args: str, **more: Any) -> tuple[int, Row, str]:
        """Exit code, summary and stderr of a batch over in.jsonl into out.jsonl."""
        done = self.run("batch", "in.jsonl", "-o", "out.jsonl", "--json", *args, **more)
        return done.returncode, json.loads(done.stdout), done.stderr

    def answers(self) -> list[Row]:
        return [json.loads(line) for line in (self.work / "out.jsonl").read_text().splitlines()]

    def start(self, *args: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """A command that runs beside others."""
        return subprocess.Popen(
            [sys.executable, "-m", "llmctl", *args],
            cwd=self.work,
            env={**self.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def loop(self, *args: str) -> subprocess.Popen[bytes]:
        """A shell that asks again and again until `end_loops`; what it writes is thrown away."""
        command = shlex.join([sys.executable, "-m", "llmctl", *args])
        return subprocess.Popen(
            ["bash", "-c", f"while [ ! -e enough ]; do {command}; done"],
            cwd=self.work,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def end_loops(self, shells: list[subprocess.Popen[bytes]]) -> None:
        """Lets each end its last command: one that outlived the test would ask the next test's server."""
        (self.work / "enough").touch()
        for shell in shells:
            shell.wait(timeout=60)

    def until_asked(self, times: int, within: float = 60) -> None:
        """Waits until so many requests have arrived."""
        end = time.monotonic() + within
        while len(self.times()) < times and time.monotonic() < end:
            time.sleep(0.1)

    def times(self) -> list[float]:
        """When requests arrived, in seconds, sorted."""
        return sorted(self.server.stats()["times"])

    def keys_sent(self) -> list[str]:
        """The keys that were sent, in order of arrival."""
        return [entry["headers"]["authorization"].removeprefix("Bearer ") for entry in self.server.log()]

    def models_asked(self) -> list[str]:
        return [entry["body"]["model"] for entry in self.server.log()]


def most_within(times: list[float], seconds: float) -> int:
    """The most arrivals in any window of that length."""
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


Together = Callable[..., list[tuple[int, str]]]


def all_of(started: list[subprocess.Popen[bytes]], timeout: float = 120) -> list[tuple[int, str]]:
    """Exit codes and stderr of commands that ran beside each other."""
    ended = [(process, process.communicate(timeout=timeout)) for process in started]
    return [(process.returncode, err.decode()) for process, (_, err) in ended]
