"""The fixtures of the tests of faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Run
from tests.server.client import TestServer

from .asking import Asker
from .standing import KEYS, Table


@pytest.fixture
def ask(llmctl: Run, server: TestServer, home: Path, work: Path) -> Asker:
    """Asks the server by the command, under a profile that gives up soon."""
    return Asker(llmctl, server, home, work)


@pytest.fixture
def table(llmctl: Run, server: TestServer, work: Path, environ: dict[str, str]) -> Table:
    """The command under a profile that asks the same thing again, with two more keys in the environment."""
    made = Table(llmctl, server, work, {**environ, **KEYS})
    made.profile()
    environ.update(KEYS)
    return made
