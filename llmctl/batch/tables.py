"""Tables (CSV, TSV, Parquet) as rows: every record a JSON object under its columns' names."""

from __future__ import annotations

import csv
import datetime
import decimal
import math
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

from llmctl.batch.lines import MAX_LINE, Line, LongLine, RawRow
from llmctl.batch.strict import RowError, Wrong, loads
from llmctl.batch.unpack import optional
from llmctl.core.canonical import canonical
from llmctl.core.errors import ConfigError

PARQUET_ROWS = 256
"""Records held at a time."""
JSON_COLUMNS = {"params": b"{", "messages": b"["}
"""Columns whose cells may hold JSON, and how that begins."""


class _TooLong(Exception):
    def __init__(self, line: LongLine) -> None:
        self.line = line


class _Feed:
    """Lines for the csv reader, counted. It goes on after a long line, which a generator could not."""

    def __init__(self, lists: Iterable[list[Line]]) -> None:
        self._lines = (line for lines in lists for line in lines)
        self.line = 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        data = next(self._lines)
        self.line += 1
        if isinstance(data, LongLine):
            raise _TooLong(data)
        return data.decode("utf-8") + "\n"


def csv_rows(lists: Iterable[list[Line]], name: str, delimiter: str) -> Iterator[RawRow]:
    """Records under a header; quoted cells may span lines. What a bad record leaves readable goes on.

    ConfigError: no or an ambiguous header, a quote that never closes.
    """
    # A limit of the whole process; the default would refuse prompts over 131,072 characters.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE))
    feed = _Feed(lists)
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    columns: list[str] = []
    number = 0
    while True:
        line = feed.line + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except _TooLong as long:
            row = RawRow(number, line, b"", _skippable(long.line, feed.line, line, name))
        except csv.Error as error:
            row = _bad_record(number, line, feed, str(error), name)
        else:
            if not cells or (len(cells) == 1 and not cells[0].strip()):
                continue
            if not columns:
                columns = header(cells, f"{name}:{line}")
                continue
            row = _record(number, line, columns, cells)
        if not columns:
            raise ConfigError(
                f"{name}:{line}: the header cannot be read", hint="the first line names columns"
            )
        yield row
        number += 1


def header(names: Sequence[str], place: str) -> list[str]:
    """The columns' names, each there and each once; ConfigError otherwise."""
    columns = [name.strip() for name in names]
    for position, name in enumerate(columns):
        if not name:
            hint = "name it in the header, or write the file without it"
            raise ConfigError(f"{place}: column {position + 1} has no name", hint=hint)
        if name in columns[:position]:
            raise ConfigError(f"{place}: the column {name!r} stands twice in the header", hint="rename one")
    return columns


def _skippable(long: LongLine, at: int, start: int, name: str) -> int:
    """The length of a long line that is a record of its own; what follows any other cannot be told."""
    if at > start or long.quotes % 2:
        hint = f"a row holds at most {MAX_LINE:,} bytes; is a quote left open?"
        raise ConfigError(f"{name}:{start}: a record of over {MAX_LINE:,} bytes", hint=hint)
    return long.length


def _bad_record(number: int, line: int, feed: _Feed, problem: str, name: str) -> RawRow:
    cut_off = "unexpected end" in problem
    if "field larger" in problem or (cut_off and feed.line > line):
        hint = "close the quote that this record opens; a quote inside a quoted cell is doubled"
        raise ConfigError(f"{name}:{line}: a quote is opened and never closed", hint=hint)
    problem = "the record is cut off inside a quoted cell" if cut_off else f"not a record: {problem}"
    return RawRow(number, line, b"", error=RowError(line, problem, "a quote inside a quoted cell is doubled"))


def _record(number: int, line: int, columns: list[str], cells: list[str]) -> RawRow:
    if len(cells) != len(columns):
        problem = f"{len(cells)} cells under a header of {len(columns)}"
        error = RowError(line, problem, "put quotes round a cell that holds the separator")
        return RawRow(number, line, canonical(cells), error=error)
    record: dict[str, Any] = dict(zip(columns, cells, strict=True))
    for column, start in JSON_COLUMNS.items():
        if column in record:
            record[column] = _json_cell(record[column], start)
    return _limited(number, line, canonical(record))


def _json_cell(cell: str, start: bytes) -> Any:
    """The cell's JSON; what only looks like it stays a text, and is refused as the row is parsed."""
    data = cell.strip().encode()
    if not data.startswith(start):
        return cell
    try:
        return loads(data)
    except Wrong:
        return cell


def _limited(number: int, line: int, data: bytes) -> RawRow:
    return RawRow(number, line, data) if len(data) <= MAX_LINE else RawRow(number, line, b"", len(data))


def parquet_rows(file: BinaryIO, name: str) -> Iterator[RawRow]:
    """The records of a Parquet file, a few of a row group at a time. Needs the extra `parquet`."""
    parquet = _pyarrow()
    number = 0
    try:
        table = parquet.ParquetFile(file, pre_buffer=False, buffer_size=2**16)
        columns = header(table.schema_arrow.names, name)
        for batch in table.iter_batches(batch_size=PARQUET_ROWS, use_threads=False):
            arrays = [column.to_pylist() for column in batch.columns]
            for cells in zip(*arrays, strict=True):
                yield _parquet_record(number, dict(zip(columns, cells, strict=True)))
                number += 1
    except (ValueError, OSError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"{name}: record {number + 1}: not readable as Parquet: {reason}", hint="write the file again"
        ) from None


def _pyarrow() -> Any:
    """pyarrow.parquet, with the system's allocator: its own keep 20 to 50 MB more of a long file."""
    ours = "pyarrow" not in sys.modules
    parquet = optional("pyarrow.parquet", "reading .parquet files", "parquet")
    if ours:
        pyarrow = sys.modules["pyarrow"]
        pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    return parquet


def _parquet_record(number: int, record: dict[str, Any]) -> RawRow:
    line = number + 1
    try:
        plain = {column: _plain(cell, column) for column, cell in record.items()}
    except Wrong as wrong:
        return RawRow(number, line, b"[]", error=RowError(line, wrong.problem, wrong.hint))
    if isinstance(plain.get("params"), dict):
        # A struct has every field in every record: null there says that it was not set.
        plain["params"] = {key: value for key, value in plain["params"].items() if value is not None}
    for column, start in JSON_COLUMNS.items():
        if isinstance(plain.get(column), str):
            plain[column] = _json_cell(plain[column], start)
    return _limited(number, line, canonical(plain))


def _plain(cell: Any, column: str) -> Any:
    """A cell in JSON's types: times as ISO 8601, decimals as their digits."""
    if cell is None or isinstance(cell, str | bool | int):
        return cell
    if isinstance(cell, float):
        if not math.isfinite(cell):
            raise Wrong(f"{column!r} is {cell}, which JSON cannot hold", "write null, or a number")
        return cell
    if isinstance(cell, dict):
        return {str(key): _plain(child, column) for key, child in cell.items()}
    if isinstance(cell, list | tuple):
        return [_plain(child, column) for child in cell]
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    if isinstance(cell, decimal.Decimal | uuid.UUID | datetime.timedelta):
        return str(cell)
    try:
        return bytes(cell).decode("utf-8")
    except (TypeError, ValueError):
        raise Wrong(f"{column!r} holds bytes that are no text", "leave the column out") from None
