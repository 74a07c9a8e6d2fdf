"""An outside judge: llmock serves faults, sees every attempt with its times, and grades the client."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Run
from ..server.client import refused_url
from .standing import Table

STREAMED = ("run", "--stream", "tell me a story")
QUIETLY = ("run", "--stream", "--json", "tell me a story")
PLAIN = ("run", "--no-stream", "tell me a story")


class LLMock:
    """The judge as a process on loopback."""

    def __init__(self) -> None:
        self.url = refused_url()
        port = self.url.rpartition(":")[2]
        command = [str(Path(sys.executable).parent / "llmock"), "serve", "--host", "127.0.0.1"]
        self._process = subprocess.Popen(
            [*command, "--port", port, "--log-level", "critical"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 60
        while True:
            try:
                self.call("GET", "verdict")
                return
            except urllib.error.URLError:
                assert self._process.poll() is None and time.monotonic() < end, "llmock does not start"
                time.sleep(0.05)

    def call(self, method: str, what: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        head = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/_llmock/{what}", data, head, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as response:
            return json.load(response)

    def plays(self, *behaviors: dict[str, Any]) -> None:
        self.call("POST", "reset")
        self.call("POST", "scenario", {"behaviors": behaviors})

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


@pytest.fixture(scope="module")
def llmock() -> Iterator[LLMock]:
    started = LLMock()
    yield started
    started.stop()


@pytest.fixture
def asked(llmock: LLMock, table: Table, environ: dict[str, str]) -> Run:
    """The command with llmock for its provider."""
    environ["OPENAI_BASE_URL"] = f"{llmock.url}/v1"
    table.profile(retry={"attempts": 4, "base": 0.2}, breaker={"failures": 50})
    return table.run


def fails(status: int, times: int | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "fail", "status": status, "times": times, **more}


def breaks(kind: str, after: int) -> dict[str, Any]:
    return {"type": "stream_fault", "kind": kind, "after_chunks": after}


@pytest.mark.parametrize(
    ("behavior", "command", "code", "attempts"),
    [
        (fails(503, 2), PLAIN, 0, 3),
        (fails(500), PLAIN, 5, 4),
        (fails(429, 2, retry_after=1), STREAMED, 0, 3),
        (fails(429, 1, retry_after=1.5), PLAIN, 0, 2),
        (fails(400), PLAIN, 7, 1),
        (fails(401), STREAMED, 4, 1),
        (fails(403), PLAIN, 4, 1),
        (fails(404), PLAIN, 7, 1),
        (fails(422), PLAIN, 7, 1),
        (breaks("truncate", 1), STREAMED, 0, 2),
        (breaks("truncate", 3), QUIETLY, 0, 2),
        (breaks("disconnect", 3), QUIETLY, 0, 2),
    ],
    ids=lambda value: value.get("kind", value.get("status")) if isinstance(value, dict) else None,
)
def test_the_judge_finds_nothing(
    llmock: LLMock, asked: Run, behavior: dict[str, Any], command: tuple[str, ...], code: int, attempts: int
) -> None:
    """Neither a fault nor a warning, and as many attempts as we say."""
    llmock.plays(behavior)
    assert asked(*command).returncode == code
    verdict = llmock.call("GET", "verdict")
    assert (verdict["findings"], verdict["attempts"]) == ([], attempts)
    assert verdict["passed"] and verdict["faults_injected"] > 0


def test_a_truncated_stream_that_was_shown_is_no_success(llmock: LLMock, asked: Run) -> None:
    """What stands on the screen cannot be taken back, so it is marked and not asked again, with exit 5.

    The judge cannot see that, and calls it accepted; asked again by hand it is content.
    """
    llmock.plays(breaks("truncate", 4))
    done = asked(*STREAMED)
    assert (done.returncode, done.stdout != "") == (5, True)
    assert "incomplete" in done.stderr
    assert asked(*STREAMED).returncode == 0
    assert llmock.call("GET", "verdict")["findings"] == []


def test_the_judge_finds_nothing_in_a_batch(llmock: LLMock, asked: Run, table: Table) -> None:
    """Many rows at once, with all kinds of refusals among them."""
    table.rows(30)
    llmock.plays(fails(429, 4, retry_after=1), fails(503, 3), fails(500, 2), fails(400, 2), fails(422, 1))
    code, summary, _ = table.batch()
    assert (code, summary["ok"], summary["failed"]) == (9, 27, 3)
    verdict = llmock.call("GET", "verdict")
    assert (verdict["findings"], verdict["calls"]) == ([], 30)
    assert verdict["attempts"] == summary["requests"] == 30 + 4 + 3 + 2
