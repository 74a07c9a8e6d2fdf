"""Comma-separated values: keys as heads, bare numbers, an empty cell for what is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TextIO

from llmctl.formats.report import Column, Row, Scalar, Table, value, visible

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets take for the beginning of a formula."""


def write(table: Table, stream: TextIO) -> None:
    """Heads and rows without the footer, which is no row; lines end with a line feed."""
    write_rows(table.columns, table.rows, stream)


def write_rows(columns: Sequence[Column], rows: Iterable[Row], stream: TextIO) -> None:
    """The same for rows that come one after the other."""
    from csv import writer

    lines = writer(stream, lineterminator="\n")
    lines.writerow(column.field for column in columns)
    lines.writerows([_harmless(value(cell)) for cell in row] for row in rows)


def _harmless(said: Scalar) -> Scalar:
    """Texts that a spreadsheet would run get an apostrophe in front; numbers have no exponent."""
    if isinstance(said, float):
        return format(Decimal(repr(said)), "f")
    if not isinstance(said, str):
        return said
    return visible(f"'{said}" if said.startswith(FORMULA) else said)
