"""What an estimate learns from the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmctl.core.model import Usage
from llmctl.usage.history import Histories
from tests.usage.kit import Kit


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    kit = Kit(tmp_path / "ledger.db")
    kit.call(1.0, usage=Usage(10, 4, 5), tag="a")
    kit.call(2.0, usage=Usage(30, 8, 5), tag="a")
    kit.call(3.0, usage=Usage(10, 600), tag="b")
    kit.call(4.0, usage=Usage(10, 60), profile="prod")
    kit.call(5.0, usage=Usage(99, 9999), tag="a", hit="exact")
    kit.failed(6.0, tag="a")
    return kit.done()


def test_the_same_tag_goes_before_all_else(ledger: Path) -> None:
    """A tag is the nearest that the ledger knows of what is asked; hits and failures teach nothing."""
    found = Histories(ledger).find("openai/a", "dev", "a")
    assert found is not None
    assert (found.calls, found.output_tokens) == (2, 6.0)
    assert (found.per_char, found.cached) == (40 / 4, 10 / 40)


@pytest.mark.parametrize(
    ("profile", "tag", "calls"), [("dev", "new", 3), ("other", "a", 4), ("prod", None, 1), ("prod", "a", 1)]
)
def test_the_nearest_kind_that_there_is(ledger: Path, profile: str, tag: str | None, calls: int) -> None:
    """A new tag, or a new profile, still has the model's own history."""
    found = Histories(ledger).find("openai/a", profile, tag)
    assert found is not None
    assert found.calls == calls


def test_no_calls_are_no_history(ledger: Path, tmp_path: Path) -> None:
    """An unknown model, and a home without a ledger, which stays without one."""
    assert Histories(ledger).find("openai/never", "dev", "a") is None
    assert Histories(tmp_path / "none.db").find("openai/a", "dev", None) is None
    assert not (tmp_path / "none.db").exists()
