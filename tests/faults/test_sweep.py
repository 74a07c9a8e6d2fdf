"""A canary key and a canary card go through everything; afterwards they are looked for everywhere.

They may be in what the user wrote, in OUT, and in the answer that the user is given. Nowhere else: no
file under home, working folder or the folder for temporary files, no line of stderr.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.batch.harness import write
from tests.notify.receiver import receiving
from tests.server.client import TestServer

CARD = "4111 1111 1111 1111"
LOADED = "opaque-canary-" + secrets.token_hex(12)
"""A key in use, of no maker's form."""
TYPED = "sk-canary-" + secrets.token_hex(20)
"""A key that somebody pasted into a prompt."""
PROMPT = f"Charge card {CARD} with the key {TYPED} please"
FORMS = (b"canary", CARD.encode(), CARD.replace(" ", "").encode(), CARD.replace(" ", "-").encode())
PROFILE: dict[str, Any] = {
    "extends": "prod",
    "models": {"main": "openai/gpt-4o-mini", "other": "anthropic/claude-sonnet-4-5"},
    "retry": {"attempts": 2, "base": 0.01, "cap": 0.02},
    "timeout": {"connect": 5, "first": 1, "idle": 1, "total": 20},
    "breaker": {"failures": 1000, "rate": 1},
    "logs": "debug",
    "privacy": {"log_texts": True},
    "alerts": [{"metric": "error_rate", "over": 0.01, "min_calls": 1}],
    "notify": ["env:HOOK"],
}
OUTS = ("in.jsonl", *(f"{name}.jsonl{end}" for name in ("out", "crew") for end in ("", ".failed.jsonl")))
"""What the user wrote, and what has the values for the user."""
BUG = """
import sys
from llmctl import pipeline
def build(services):
    services.secrets.resolve("env:OPENAI_API_KEY")
    raise RuntimeError(f"{sys.argv[-1]} {services.secrets._known}")
pipeline.build = build
from llmctl.cli.app import run
sys.exit(run(sys.argv[1:]))
"""


@dataclass
class World:
    """A user with canaries: runs commands, and collects what must not hold one."""

    environ: dict[str, str]
    server: TestServer
    work: Path
    seen: list[tuple[str, bytes]] = field(default_factory=list)

    def __call__(
        self, *args: str, code: int, answer: bool = False, python: tuple[str, ...] = ("-m", "llmctl")
    ) -> str:
        """Runs it to its expected end. `answer`: its stdout is the answer, restored for the user."""
        done = subprocess.run(
            [sys.executable, *python, *args], cwd=self.work, env=self.environ, input=b"", capture_output=True,
            timeout=60, check=False,
        )  # fmt: skip
        name = " ".join(args)
        assert done.returncode == code, f"{name}: {done.returncode}: {done.stderr.decode()}"
        self.seen.append((f"stderr of {name}", done.stderr))
        if not answer:
            self.seen.append((f"stdout of {name}", done.stdout))
        return done.stdout.decode()

    def leaks(self, *but: str) -> Iterator[str]:
        """Whatever holds a canary."""
        for path in self.work.parent.rglob("*"):
            if path.is_file() and path.name not in but and holds(path.read_bytes() + path.name.encode()):
                yield str(path.relative_to(self.work.parent))
        yield from (name for name, data in self.seen if holds(data))


def holds(data: bytes) -> bool:
    return any(form in data for form in FORMS)


@pytest.fixture
def world(environ: dict[str, str], server: TestServer, work: Path, tmp_path: Path) -> Iterator[World]:
    """Temporary files go into a folder of their own, where they can be found."""
    (tmp_path / "temp").mkdir()
    (work / "p.yaml").write_text(json.dumps(PROFILE))
    with receiving() as hook:
        keys = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"), LOADED)
        env = {
            **environ,
            **keys,
            "TMPDIR": str(tmp_path / "temp"),
            "LLMCTL_PROFILE": "./p.yaml",
            "HOOK": hook.url,
        }
        made = World(env, server, work)
        yield made
        made.seen += [("alert", json.dumps(message).encode()) for message in hook.messages()]
        assert hook.messages(), "the alerts were never sent"
        assert not list(made.leaks(*OUTS))


FAULTS = {
    "status:400": 7, "error_echoes_key": 4, "status:403": 4, "status:404": 7, "context_too_long": 7,
    "rate_limited": 5, "status:503": 5, "html": 5, "cut_json": 5, "reset_before_headers": 5,
    "stream_error": 5, "reset_in_stream": 5, "redirect:http://127.0.0.1:1/": 7, "stall_in_body": 5,
    f"body:{{\"error\":{{\"message\":\"bad key {LOADED} in {PROMPT}\"}}}}": 5,
}  # fmt: skip
"""Errors of every kind, and the exit code of each."""


@pytest.mark.slow
def test_errors_of_every_kind(world: World) -> None:
    """With tracebacks and as JSON: what providers quote of key and prompt stays with them."""
    for number, (fault, code) in enumerate(FAULTS.items()):
        world.server.script(default=fault)
        machine = number % 2  # else a stream may have shown some of its answer
        extra = ("--json", "--no-stream") if machine else ("-v",)
        world("run", "--debug", *extra, PROMPT, code=code, answer=not machine)
    world.server.script(default="status:500")
    world("run", "--debug", "-m", "other", PROMPT, code=5)
    world.environ["OPENAI_BASE_URL"] = "http://127.0.0.1:9/v1"
    world("run", "--debug", PROMPT, code=5)


@pytest.mark.slow
def test_answers_and_checks(world: World) -> None:
    """The user gets the values back, also streamed; what is told about an answer does not repeat it."""
    world.server.script(default="status:503")
    world("run", "once, for the alert", code=5)
    world.server.script()
    for extra in ((), ("--no-stream",), ("--json",), ("-v", "--refresh")):
        assert CARD in world("run", *extra, PROMPT, code=0, answer=True)
    world("run", "-m", "other", PROMPT, code=0, answer=True)
    (world.work / "s.json").write_text('{"type": "object", "properties": {"age": {"type": "integer"}}}')
    world.server.script(default='answer:{"age": "<CARD_1> <SECRET_1>"}')
    world("run", "--debug", "--schema", "s.json", PROMPT, code=8)
    profile = {**PROFILE, "privacy": {"answers": "block", "log_texts": True}}
    (world.work / "p.yaml").write_text(json.dumps(profile))
    world.server.script(default=f"answer:Use {TYPED}")
    world("run", "--debug", "what key?", code=8)
    world("run", "--debug", "--json", "what key?", code=8)


@pytest.mark.slow
def test_a_batch(world: World) -> None:
    """Journal, ledger, cache, logs and the page hold placeholders; OUT alone has the values."""
    world.server.script(match=[{"contains": "refuse", "default": "error_echoes_key"}])
    rows: list[dict[str, Any]] = [
        {"prompt": PROMPT},
        {"prompt": f"{PROMPT}, again", "id": "fine", "tag": "customers"},
        {"prompt": f"refuse this: {PROMPT}"},
        {"promt": PROMPT},
        {"prompt": "x", "params": {"api_key": LOADED}},
    ]
    write(world.work / "in.jsonl", rows)
    world("batch", "in.jsonl", "-o", "out.jsonl", "-v", "--debug", code=4)
    world.server.script()
    world("batch", "in.jsonl", "-o", "out.jsonl", "--json", code=9)
    assert CARD in (world.work / "out.jsonl").read_text()
    world("batch", "in.jsonl", "-o", "crew.jsonl", "--workers", "2", "--no-cache", "-v", code=9)
    world("alerts", "check", "--json", code=10)
    for args in (
        ("usage", "--calls"),
        ("keys", "status"),
        ("profile", "show"),
        ("top", "--once"),
        ("doctor",),
    ):
        world(*args, code=0)


@pytest.mark.slow
def test_a_crash(world: World) -> None:
    """A bug of ours is told by its kind; log, traceback and report name places in the code, no values."""
    world.server.script(default="status:503")
    world("run", "once, for the alert", code=5)
    for flags in ((), ("--debug",), ("--debug", "--json")):
        world("run", *flags, "-s", PROMPT, f"{LOADED} {PROMPT}", code=1, python=("-c", BUG))
    (report, *_) = (Path(world.environ["LLMCTL_HOME"]) / "logs").glob("crash-*.log")
    assert "RuntimeError" in report.read_text() and "build" in report.read_text()
    world("run", PROMPT, LOADED, code=2)
    world("run", "-O", LOADED, "hi", code=2)


@pytest.mark.slow
def test_the_page(world: World) -> None:
    """The dashboard shows failures and calls; its token is a key like any other."""
    pytest.importorskip("starlette")
    world.server.script(default="error_echoes_key")
    world("run", PROMPT, code=4)
    world.environ["PAGE_TOKEN"] = "canary-token-" + "7" * 20
    command = [sys.executable, "-m", "llmctl", "dashboard", "--port", "0", "--token-ref", "env:PAGE_TOKEN"]
    page = subprocess.Popen(
        command, cwd=world.work, env=world.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert page.stdout is not None
    url = page.stdout.readline().decode().strip()
    try:
        for path in ("", "metrics/llm", "metrics", "healthz"):
            request = urllib.request.Request(
                url + path, headers={"Authorization": f"Bearer {world.environ['PAGE_TOKEN']}"}
            )
            with urllib.request.urlopen(request, timeout=30) as response:
                world.seen.append((f"/{path}", response.read()))
    finally:
        page.terminate()
        out, err = page.communicate(timeout=30)
    world.seen += [("stdout of dashboard", url.encode() + out), ("stderr of dashboard", err)]


def test_the_sweep_finds_a_canary(tmp_path: Path, environ: dict[str, str], server: TestServer) -> None:
    """A search that finds nothing proves nothing, unless it would have found something."""
    folder = tmp_path / "work"
    folder.mkdir()
    world = World(environ, server, folder, seen=[("stderr", b"..." + LOADED.encode())])
    (tmp_path / "file").write_text(f"x{CARD.replace(' ', '')}x")
    assert list(world.leaks()) == ["file", "stderr"]
