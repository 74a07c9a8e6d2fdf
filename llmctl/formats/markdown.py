"""A Markdown table, as GitHub reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TextIO

from llmctl.formats.report import Table, text

SIGNS = re.compile(r"[\\`*_{}\[\]<>#|~!&$@]|:(?=[A-Za-z_+/-])")
"""A colon makes a link or a picture of the word that follows; one in `14:30` is none."""


def write(table: Table, stream: TextIO) -> None:
    lines = [f"**{escaped(table.title)}**", ""] if table.title else []
    lines.append(_line(escaped(column.name) for column in table.columns))
    lines.append(_line("---:" if column.align == "right" else ":---" for column in table.columns))
    lines += [_line(escaped(text(cell)) for cell in row) for row in table.rows]
    if table.footer is not None:
        lines.append(_line(f"**{said}**" if (said := escaped(text(cell))) else "" for cell in table.footer))
    if table.note:
        lines += ["", escaped(table.note)]
    stream.write("\n".join(lines) + "\n")


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escaped(said: str) -> str:
    """The text as text: no markup, no HTML, no links, no mentions."""
    return SIGNS.sub(lambda sign: f"&#{ord(sign[0])};" if sign[0] in "<>&|@:" else "\\" + sign[0], said)
