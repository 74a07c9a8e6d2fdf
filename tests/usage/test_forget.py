"""What `purge` takes out of a ledger beside those who write it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from llmctl.usage.forget import forget
from llmctl.usage.schema import reading

from .kit import Kit, when

AT = when("2026-11-22T10:00")


def told(path: Path) -> dict[str, tuple[int, int]]:
    """Calls and money by tag, out of the sums that reports of many calls are made of."""
    with reading(path) as db:
        rows = db.execute(
            "SELECT tag, sum(calls), sum(cost) FROM slots JOIN kinds ON kinds.id = kind"
            " WHERE size = 900 GROUP BY tag"
        )
        return {tag: (calls, cost) for tag, calls, cost in rows}


@pytest.mark.parametrize("group", [False, True])
def test_a_writer_outlives_the_purge_of_its_tag(tmp_path: Path, group: bool) -> None:
    """What a batch pays after it must neither leave the report nor count as somebody else's."""
    one, other = (Kit(tmp_path / "ledger.db", group=group) for _ in range(2))
    other.number = 1000

    def call(kit: Kit, times: int, tag: str) -> None:
        for _ in range(times):
            kit.call(AT, cost=1, tag=tag)
        kit.ledger.flush()

    call(one, 3, "ci")
    assert forget(one.path, tag="ci") == 3
    call(other, 1, "billing")
    call(one, 5, "ci")
    other.ledger.close()
    assert told(one.done()) == {"": (3, 3), "billing": (1, 1), "ci": (5, 5)}


def test_an_older_ledger_is_put_right(tmp_path: Path) -> None:
    """Calls that an earlier version counted under a kind that was gone come back into the report."""
    kit = Kit(tmp_path / "ledger.db")
    kit.call(AT, cost=7, tag="ci")
    with sqlite3.connect(kit.done()) as db:
        db.execute("DELETE FROM kinds")
        db.execute("PRAGMA user_version = 4")
    db.close()
    assert told(kit.path) == {"ci": (1, 7)}
