"""Aligned lines: the layout that plain and styled tables share, and the plain ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from llmctl.formats.report import PLAIN, Column, Look, Row, Table, text

GAP = "  "
NARROWEST = 10
"""Columns that a shortened text keeps."""


@dataclass(frozen=True, slots=True)
class Laid:
    """A table as texts that fit: `rows` and `footer` padded to `sizes`, in terminal columns."""

    columns: tuple[Column, ...]
    sizes: tuple[int, ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    footer: tuple[str, ...] | None


def write(table: Table, stream: TextIO, look: Look = PLAIN) -> None:
    """Title, heads, rows, the footer below a rule, the note."""
    laid = lay(table, look.width)
    lines = [table.title] if table.title else []
    lines += [GAP.join(cells).rstrip() for cells in (laid.heads, *laid.rows)]
    if laid.footer:
        lines.append("-" * (sum(laid.sizes) + len(GAP) * (len(laid.sizes) - 1)))
        lines.append(GAP.join(laid.footer).rstrip())
    if table.note:
        lines.append(table.note)
    stream.write("\n".join(lines) + "\n")


def lay(table: Table, most: int | None = None) -> Laid:
    """The table in at most so many terminal columns.

    The columns that matter least go first, then the widest texts are shortened.
    """
    everything = [_texts([column.name for column in table.columns]), *map(_texts, table.rows)]
    if table.footer is not None:
        everything.append(_texts(table.footer))
    sizes = [max(map(width, cells)) for cells in zip(*everything, strict=True)]
    kept = list(range(len(sizes)))
    if most is not None:
        kept = _kept(table.columns, sizes, most)
        sizes = _shortened(table.columns, sizes, kept, most)
    columns = tuple(table.columns[place] for place in kept)
    rights = [column.align == "right" for column in columns]
    wide = [sizes[place] for place in kept]
    lines = [tuple(map(_cell, (cells[place] for place in kept), wide, rights)) for cells in everything]
    footer = lines.pop() if table.footer is not None else None
    return Laid(columns, tuple(wide), lines[0], tuple(lines[1:]), footer)


def _texts(row: Row) -> list[str]:
    return [text(cell) for cell in row]


def _total(sizes: Sequence[int]) -> int:
    return sum(sizes) + len(GAP) * (len(sizes) - 1)


def _kept(columns: Sequence[Column], sizes: Sequence[int], most: int) -> list[int]:
    """The places of the columns that stay; texts are taken as short as they may become."""
    least = [
        size if column.rigid else min(size, NARROWEST) for column, size in zip(columns, sizes, strict=True)
    ]
    kept = list(range(len(columns)))
    for place in sorted(kept, key=lambda place: columns[place].extra, reverse=True):
        if not columns[place].extra or _total([least[place] for place in kept]) <= most:
            break
        kept.remove(place)
    return kept


def _shortened(columns: Sequence[Column], sizes: Sequence[int], kept: list[int], most: int) -> list[int]:
    found = list(sizes)
    texts = [place for place in kept if not columns[place].rigid]
    while texts and _total([found[place] for place in kept]) > most:
        widest = max(texts, key=lambda place: found[place])
        if found[widest] <= NARROWEST:
            break
        found[widest] -= 1
    return found


def _cell(said: str, size: int, right: bool) -> str:
    said = shortened(said, size)
    space = " " * (size - width(said))
    return space + said if right else said + space


def shortened(said: str, size: int) -> str:
    """At most `size` terminal columns, the last an ellipsis where something is missing."""
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
