"""A second opinion: somebody else's mock server, which knows nothing of our own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import Run


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running fakellm with its own example rules."""
    program = shutil.which("fakellm", path=str(Path(sys.executable).parent))
    assert program, "fakellm is a test dependency"
    folder = tmp_path_factory.mktemp("outside")
    subprocess.run([program, "init"], cwd=folder, check=True, capture_output=True)
    port = free_port()
    process = subprocess.Popen(
        [program, "serve", "--port", str(port)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


@pytest.mark.parametrize("args", [(), ("-m", "anthropic/claude-sonnet-4-5")])
def test_an_outside_server_agrees(llmctl: Run, outside: str, args: tuple[str, ...]) -> None:
    """Our own server could share our mistakes; this one was written by others."""
    env = {"OPENAI_BASE_URL": f"{outside}/v1", "ANTHROPIC_BASE_URL": outside}
    streamed = llmctl("run", "hello", *args, env=env)
    assert "mock response" in streamed.stdout, streamed.stderr
    whole = json.loads(llmctl("run", "--json", "--no-cache", "hello", *args, env=env).stdout)
    assert whole["text"] == streamed.stdout.strip()
    assert whole["usage"]["output_tokens"] > 0


def test_an_outside_error_is_classified(llmctl: Run, outside: str, work: Path) -> None:
    """A 429 in somebody else's words is still a rate limit."""
    model = "{model: openai/gpt-4o-mini, headers: {x-test-scenario: rate_limit}}"
    (work / "limited.yaml").write_text(f"models: {{main: {model}}}\nretry: 1\n", encoding="utf-8")
    done = llmctl("run", "--json", "x", "-p", "./limited.yaml", env={"OPENAI_BASE_URL": f"{outside}/v1"})
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["type"], error["status"]) == (5, "rate_limit", 429)
