"""What all tests share: the loopback server, a home of their own, and the command as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from .server.client import TestServer
from .server.fixtures import *  # noqa: F403  # the server's own fixtures

Run = Callable[..., "subprocess.CompletedProcess[str]"]
KEY = "sk-" + "test" * 6

# Started in the background of a shell, we ignore interrupts, and so would every command under test.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many tests wait longer than they work."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder of state that no other test sees."""
    return tmp_path / "home"


@pytest.fixture
def environ(tmp_path: Path, home: Path, server: TestServer) -> dict[str, str]:
    """The variables of a user whose providers all live on loopback."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
    return {
        **kept,
        "HOME": str(tmp_path),
        "LLMCTL_HOME": str(home),
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": server.openai,
        "ANTHROPIC_API_KEY": KEY,
        "ANTHROPIC_BASE_URL": server.anthropic,
        "GEMINI_API_KEY": KEY,
        "GEMINI_BASE_URL": server.gemini,
        "PYTHONPATH": str(Path(__file__).parent.parent),
    }


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """An empty working folder: no profiles but those that ship."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def llmctl(environ: dict[str, str], work: Path) -> Run:
    """Runs the command as a user does: a process of its own, output captured as text."""

    def run(
        *args: str,
        stdin: str | bytes | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [sys.executable, "-m", "llmctl", *args],
            input=data if data is not None else b"",
            capture_output=True,
            cwd=work,
            env={**environ, **(env or {})},
            timeout=timeout,
            check=False,
        )
        out, err = done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return run
