"""Markdown that shows names and obeys none."""

from __future__ import annotations

import re
from io import StringIO

from llmctl.formats.report import Column, Table, render
from llmctl.formats.usage import table

from .kit import HOSTILE, hostile


def written(found: Table) -> list[str]:
    stream = StringIO()
    render(found, "markdown", stream)
    return stream.getvalue().splitlines()


def test_it_is_a_table_with_sides() -> None:
    """Pasted into an issue it should look like the terminal's."""
    found = Table("Use", (Column("model"), Column("calls", "right")), [("x/a_b", 1)], ("total", 1), "a note")
    assert written(found) == [
        "**Use**",
        "",
        "| model | calls |",
        "| :--- | ---: |",
        "| x/a\\_b | 1 |",
        "| **total** | **1** |",
        "",
        "a note",
    ]


def test_times_and_sentences_stay_readable() -> None:
    """Most of these tables are read as they are, in a log."""
    found = Table(
        "", (Column("at"),), [("2026-11-22 14:30:05",), ("mailto:x",), (":smile:",)], note="?: none"
    )
    assert written(found)[2:] == [
        "| 2026-11-22 14:30:05 |",
        "| mailto&#58;x |",
        "| &#58;smile: |",
        "",
        "?: none",
    ]


def test_hostile_names_make_no_cell_no_tag_and_no_link() -> None:
    """A table that a bot posts must not carry somebody's markup or mention somebody."""
    lines = written(table(hostile()))
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == len(HOSTILE) + 3
    assert len({line.count("|") for line in rows}) == 1
    assert not re.search(r"<(?!br)|(?<!\\)[`\[\]]|@|://", "".join(rows))
