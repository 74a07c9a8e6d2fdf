"""Aligned lines, as narrow as they must be."""

from __future__ import annotations

from io import StringIO

import pytest

from llmctl.formats.report import PLAIN, Column, Look, Table, render
from llmctl.formats.table import shortened, width
from llmctl.formats.usage import table

from .kit import HOSTILE, group, hostile, report_of

COLUMNS = (
    Column("name"),
    Column("kind", extra=2),
    Column("count", "right"),
    Column("more", "right", extra=1),
)
ROWS = (("a long name of a model", "x", 5, 1), ("short", "a long kind", 12345, 22))


def drawn(found: Table, look: Look = PLAIN) -> list[str]:
    stream = StringIO()
    render(found, "table", stream, look)
    return stream.getvalue().splitlines()


def test_columns_stand_below_their_heads() -> None:
    """Numbers to the right, texts to the left, the sum below a rule."""
    assert drawn(Table("All", COLUMNS, ROWS, ("total", "", 12350, 23), "a note")) == [
        "All",
        "name                    kind          count  more",
        "a long name of a model  x                 5     1",
        "short                   a long kind  12,345    22",
        "-------------------------------------------------",
        "total                                12,350    23",
        "a note",
    ]


@pytest.mark.parametrize("columns", range(20, 60))
def test_a_narrow_terminal_is_never_overrun(columns: int) -> None:
    """A line that wraps is no table: what matters least goes, names get an ellipsis, numbers stay whole."""
    lines = drawn(Table("", COLUMNS, ROWS), Look(width=columns))
    assert max(map(len, lines)) <= columns
    assert "12,345" in lines[-1]
    assert ("kind" in lines[0]) <= ("more" in lines[0])


def test_wide_letters_keep_the_columns() -> None:
    """Chinese letters and emoji take two columns each, combining signs none."""
    assert (width("汉字"), width("e\u0301"), width("🎉"), width("abc")) == (4, 1, 2, 3)
    lines = drawn(Table("", (Column("a"), Column("b")), [("汉字", 1), ("abcd", 2)]))
    assert lines[1:] == ["汉字  1", "abcd  2"]
    assert shortened("汉字汉字", 6) == "汉字…"
    assert width(shortened("汉字汉字", 6)) <= 6


def test_hostile_names_are_texts_on_one_line() -> None:
    """No name ends the line, moves the cursor or turns the row around."""
    lines = drawn(table(hostile()))
    assert len(lines) == len(HOSTILE) + 3
    assert all(line.isprintable() for line in lines)
    assert any(line.startswith("[/x] ") for line in lines)


def test_a_table_without_rows_is_its_heads() -> None:
    """Nothing yet is no error."""
    heads, note = drawn(table(report_of()))
    assert heads.split()[:3] == ["model", "calls", "ok"]
    assert note == "no calls"


def test_an_unknown_price_is_a_question_mark_with_its_reason() -> None:
    """$0.00 for what nobody knows would be believed."""
    lines = drawn(
        table(
            report_of(
                group({"model": "x/mixed"}, 2, 1_230_000_000, unpriced=1),
                group({"model": "x/unknown"}, 1, None, unpriced=1),
            )
        )
    )
    assert "$1.23 + ?" in lines[1]
    assert " ? " in lines[2]
    assert "$0.00 + ?" not in lines[2]
    assert lines[-1].startswith("?: 2 calls of unknown cost")


def test_a_whole_column_is_not_shortened() -> None:
    """Half a bar says something else than the bar, and half a time says nothing."""
    found = Table("", (Column("name"), Column("bar", whole=True)), [("a long name of a model", "█" * 15)])
    assert drawn(found, Look(width=28))[1] == "a long nam…  " + "█" * 15
