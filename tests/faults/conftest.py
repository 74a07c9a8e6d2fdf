"""The one fixture of the tests of faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Run
from tests.server.client import TestServer

from .asking import Asker


@pytest.fixture
def ask(llmctl: Run, server: TestServer, home: Path, work: Path) -> Asker:
    """Asks the server by the command, under a profile that gives up soon."""
    return Asker(llmctl, server, home, work)
