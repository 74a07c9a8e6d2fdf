"""What an estimate learns from the ledger."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

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


def test_a_template_goes_before_tag_and_profile(tmp_path: Path) -> None:
    """Its text decides how long answers are; plain prompts do not learn from it while they have their own."""
    kit = Kit(tmp_path / "ledger.db")
    for output, template, profile, tag in (
        (5, "short", "dev", None),
        (7, "short", "prod", "ci"),
        (500, "long", "dev", None),
        (60, None, "dev", None),
    ):
        renderer = template and SimpleNamespace(template=SimpleNamespace(name=template))
        kit.call(1.0, usage=Usage(10, output), renderer=renderer, profile=profile, tag=tag)
    histories = Histories(kit.done())

    def expected(template: str | None, profile: str = "dev", tag: str | None = None) -> float:
        found = histories.find("openai/a", profile, tag, template)
        assert found is not None
        return found.output_tokens

    assert expected("short") == 5
    assert expected("long", "other", "new") == 500
    assert expected("short", "other") == 6
    assert expected(None) == 60
    assert expected("new") == (5 + 500 + 60) / 3
    assert expected(None, "other") == (5 + 7 + 500 + 60) / 4


def test_no_calls_are_no_history(ledger: Path, tmp_path: Path) -> None:
    """An unknown model, and a home without a ledger, which stays without one."""
    assert Histories(ledger).find("openai/never", "dev", "a") is None
    assert Histories(tmp_path / "none.db").find("openai/a", "dev", None) is None
    assert not (tmp_path / "none.db").exists()
