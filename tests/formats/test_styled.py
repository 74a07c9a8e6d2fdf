"""Tables on a terminal with colours."""

from __future__ import annotations

import re
from io import StringIO

import pytest

from llmctl.formats.report import Look, render
from llmctl.formats.table import width
from llmctl.formats.usage import table

from .kit import HOSTILE, hostile

STYLE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
def test_hostile_names_are_texts_and_the_width_is_kept(columns: int) -> None:
    """Markup in a model's name must neither colour the terminal nor raise; only our styles are codes."""
    stream = StringIO()
    render(table(hostile()), "table", stream, Look(styled=True, width=columns))
    said = STYLE.sub("", stream.getvalue())
    assert STYLE.search(stream.getvalue())
    assert "\x1b" not in said
    lines = said.splitlines()
    assert all(line.isprintable() for line in lines)
    assert max(map(width, lines)) <= columns
    assert "[/x]" in said
    assert ":smile:" in said
    assert sum("$0.001000" in line for line in lines) == len(HOSTILE)
