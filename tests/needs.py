"""What tests need besides Python."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """Skips the test, with the reason; in CI, which installs such things, it fails instead."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}: .ci/run installs it")
    pytest.skip(what)
