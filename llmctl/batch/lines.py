"""Lines of a file of any size: split on `\\n` alone, UTF-8 checked, never more than a line held."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from llmctl.batch.strict import RowError
from llmctl.core.canonical import canonical
from llmctl.core.errors import ConfigError

MAX_LINE = 16 * 2**20
"""Bytes of the longest line that is read; a longer one is skipped without being held."""
CHUNK = 256 * 1024
BOM = codecs.BOM_UTF8
CR = 13


class RawRow(NamedTuple):
    """A row as it stands in the file.

    `number` counts from 0 over rows that are not blank, `line` is the physical line (Parquet: the
    record) counted from 1. `data` is a line without its newline, or a table's record as a JSON object.
    """

    number: int
    line: int
    data: bytes
    too_long: int = 0
    """The row's length in bytes where that is over MAX_LINE; `data` is empty then."""
    text: bool = False
    """`data` is the prompt itself, not JSON."""
    error: RowError | None = None
    """A record of a table that cannot be a row; `data` is then the list of its cells."""

    def json(self) -> bytes:
        """The row as a line of JSONL that can be run again, as far as it was readable."""
        return canonical({"prompt": self.data.decode("utf-8", "replace")}) if self.text else self.data


class LongLine(NamedTuple):
    """What is known of a line over the limit: its length and how many `"` it holds."""

    length: int
    quotes: int


Line = bytes | LongLine


def split(chunks: Iterable[bytes], limit: int = MAX_LINE) -> Iterator[list[Line]]:
    """The lines of `chunks` in order, without their `\\n`, as many at a time as a chunk completes.

    A chunk is no longer than `limit`, so only a line over several chunks can pass it. The last line
    need not end in `\\n`; nothing after a final `\\n` is no line. A byte-order mark in front is dropped.
    """
    unfinished = _Unfinished(limit)
    skip = len(BOM)
    for chunk in chunks:
        lines: list[Line] = [*chunk.split(b"\n")]
        last = lines.pop()
        if lines:
            unfinished.add(lines[0])  # type: ignore[arg-type]  # all bytes up to here
            lines[0] = unfinished.take()
            if skip:
                lines[0], skip = without_bom(lines[0]), 0
            yield lines
        unfinished.add(last)  # type: ignore[arg-type]
    if unfinished.length:
        line = unfinished.take()
        yield [without_bom(line) if skip else line]


def without_bom(line: Line) -> Line:
    return line.removeprefix(BOM) if isinstance(line, bytes) else line


class _Unfinished:
    """A line that may still go on; its text is dropped once it is over the limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.parts: list[bytes] = []
        self.length = self.quotes = 0

    def add(self, part: bytes) -> None:
        self.length += len(part)
        self.quotes += part.count(b'"')
        if self.length <= self.limit:
            self.parts.append(part)
        else:
            self.parts.clear()

    def take(self) -> Line:
        line = b"".join(self.parts) if self.length <= self.limit else LongLine(self.length, self.quotes)
        self.parts.clear()
        self.length = self.quotes = 0
        return line


def utf8(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """The chunks unchanged; ConfigError names the line that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines = 1
    for chunk in chunks:
        pending = decoder.getstate()[0]
        if pending or not chunk.isascii():
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise _not_utf8(name, lines + (pending + chunk).count(b"\n", 0, error.start)) from None
        lines += chunk.count(b"\n")
        yield chunk
    if decoder.getstate()[0]:
        raise _not_utf8(name, lines)


def _not_utf8(name: str, line: int) -> ConfigError:
    return ConfigError(f"{name}:{line}: not UTF-8", hint="convert it, for example with iconv")


def line_rows(lists: Iterable[list[Line]], text: bool) -> Iterator[RawRow]:
    """A row for every line that is not blank; a carriage return before the `\\n` is no part of it."""
    number = line = 0
    for lines in lists:
        for data in lines:
            line += 1
            if isinstance(data, LongLine):
                yield RawRow(number, line, b"", data.length, text)
            elif not data or data.isspace():
                continue
            else:
                yield RawRow(number, line, data[:-1] if data[-1] == CR else data, 0, text)
            number += 1
