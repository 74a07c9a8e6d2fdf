"""Plain aligned lines, for pipes and terminals without colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from llmctl.formats.report import PLAIN, Column, Look, Table, text

GAP = "  "
NARROWEST = 8


def write(table: Table, stream: TextIO, look: Look = PLAIN) -> None:
    """Heads, rows, footer after a rule; texts are shortened where the terminal is too narrow."""
    rows = [[text(cell) for cell in row] for row in table.rows]
    footer = [text(cell) for cell in table.footer] if table.footer is not None else None
    heads = [column.name for column in table.columns]
    sizes = [
        max(map(width, cells)) for cells in zip(heads, *rows, *([footer] if footer else []), strict=True)
    ]
    if look.width is not None:
        sizes = fitted(sizes, table.columns, look.width)
    if table.title:
        stream.write(table.title + "\n")
    lines = [_line(row, sizes, table.columns) for row in (heads, *rows)]
    if footer:
        lines += ["-" * (sum(sizes) + len(GAP) * (len(sizes) - 1)), _line(footer, sizes, table.columns)]
    if table.note:
        lines.append(table.note)
    stream.write("\n".join(lines) + "\n")


def _line(cells: Sequence[str], sizes: Sequence[int], columns: Sequence[Column]) -> str:
    return GAP.join(
        _cell(cell, size, column.align == "right")
        for cell, size, column in zip(cells, sizes, columns, strict=True)
    ).rstrip()


def _cell(said: str, size: int, right: bool) -> str:
    said = shortened(said, size)
    space = " " * (size - width(said))
    return space + said if right else said + space


def fitted(sizes: Sequence[int], columns: Sequence[Column], most: int) -> list[int]:
    """Sizes that fit into `most`, as far as shortening the widest texts goes; numbers are never cut."""
    found = list(sizes)
    texts = [place for place, column in enumerate(columns) if column.align == "left"]
    while sum(found) + len(GAP) * (len(found) - 1) > most and texts:
        widest = max(texts, key=lambda place: found[place])
        if found[widest] <= NARROWEST:
            break
        found[widest] -= 1
    return found


def shortened(said: str, size: int) -> str:
    """At most `size` columns, the last an ellipsis where something is missing."""
    if width(said) <= size:
        return said
    while width(said) > size - 1:
        said = said[:-1]
    return said + "…"


def width(said: str) -> int:
    """Columns that a text takes in a terminal."""
    if said.isascii():
        return len(said)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in said)
