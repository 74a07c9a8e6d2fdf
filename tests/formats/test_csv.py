"""CSV that programs and spreadsheets read the same."""

from __future__ import annotations

import csv
from io import StringIO

from llmctl.formats.report import Column, Shown, Table, render
from llmctl.formats.usage import table

from .kit import HOSTILE, hostile


def written(found: Table) -> str:
    stream = StringIO(newline="")
    render(found, "csv", stream)
    return stream.getvalue()


def test_numbers_are_bare_and_unknowns_empty() -> None:
    """A sum over a column must not stumble over $, commas, units or ?."""
    found = Table(
        "title",
        (Column("model"), Column("cost", "right", "cost_usd"), Column("calls")),
        [("x", Shown(0.0000045, "$0.0000045"), 12345), ("y", Shown(None, "?"), 1)],
        footer=("total", "", 12346),
        note="a note",
    )
    assert written(found) == "model,cost_usd,calls\nx,0.0000045,12345\ny,,1\n"


def test_every_row_is_one_line_and_no_name_is_a_formula() -> None:
    """`wc -l` counts rows, and a spreadsheet runs nothing."""
    said = written(table(hostile()))
    assert said.count("\n") == len(HOSTILE) + 1
    rows = list(csv.reader(StringIO(said)))
    assert {len(row) for row in rows} == {len(rows[0])}
    names = [row[0] for row in rows[1:]]
    assert names[0] == "[/x]"
    assert "'=HYPERLINK(1)" in names
    assert 'quotes " and, commas' in names
    assert all(name.isprintable() for name in names)
