"""All that was opened is closed, also where a part of it cannot be."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from llmctl.core.errors import StorageError
from llmctl.core.model import Request
from llmctl.services import Services

BREAKS = """
import sys
from llmctl.cli.app import run
from llmctl.core.errors import StorageError
from llmctl.services import Services

whole = Services.close

async def close(self):
    await whole(self)
    raise StorageError("ledger.db: no room is left")

Services.close = close
sys.exit(run(sys.argv[1:]))
"""


class Part:
    """One of what the services have opened."""

    def __init__(self, name: str, closed: list[str]) -> None:
        self.name = name
        self.closed = closed

    def close(self) -> None:
        self.closed.append(self.name)

    flush = close

    def save(self) -> None:
        raise StorageError("state.db: locked")


class Gone:
    async def close(self) -> None:
        raise RuntimeError("the session is gone")


def test_what_cannot_be_closed_keeps_nothing_else_open(environ: dict[str, str], home: Path) -> None:
    """Money set aside, the ledger and the log would not be written, and their files stay open."""
    opened = Services(environ, name="dev", home=home, group=True)
    (home / "ledger.db").mkdir(parents=True)
    opened.ledger.sent(Request(opened.targets.choose(None).target, ()))
    closed: list[str] = []
    parts = {name: Part(name, closed) for name in ("pools", "desk", "cache", "state", "log")}
    vars(opened).update(parts, connections=Gone())
    with pytest.raises(StorageError, match="ledger"):
        asyncio.run(opened.close())
    assert closed == ["desk", "cache", "state", "log"]


def test_an_answer_is_shown_before_what_went_wrong_in_closing(environ: dict[str, str], work: Path) -> None:
    """It is paid for; and it is not incomplete."""
    for flags in (["--no-stream"], ["--stream"], ["--json"], ["-x"]):
        done = subprocess.run(
            [sys.executable, "-c", BREAKS, "run", "hello", *flags],
            cwd=work, env=environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 3
        assert "echo: hello" in done.stdout
        assert "no room is left" in done.stderr + done.stdout
        assert "incomplete" not in done.stderr + done.stdout
