"""Outputs of shards made one: every row once, in order, in memory that does not grow with them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from llmctl.batch.index import Offsets
from llmctl.core.errors import ConfigError, UsageError

OPENAI_ID = "batch_req_"


@dataclass(slots=True)
class Merged:
    """What came together: `missing` are the first and last row of every gap, `pending` were not sent."""

    rows: int = 0
    failed: int = 0
    pending: int = 0
    missing: list[tuple[int, int]] = field(default_factory=list)

    @property
    def absent(self) -> int:
        return sum(last - first + 1 for first, last in self.missing)


class Shards:
    """The outputs, opened and indexed by row. ConfigError where a row stands twice or is none."""

    def __init__(self, paths: list[Path], folder: Path | None) -> None:
        self._stack = ExitStack()
        self._files: list[tuple[Path, int, IO[bytes]]] = []
        self.counts = Merged()
        self._end = 0
        self._forms: set[bool] = set()
        try:
            self._places = Offsets(folder)
            self._stack.callback(self._places.close)
            base = 0
            for path in paths:
                base = self._index(path, base)
        except BaseException:  # whatever it was: the files are closed
            self.close()
            raise

    def lines(self) -> Iterator[bytes]:
        """Every row in order, without its newline; the gaps are in `counts.missing` afterwards."""
        gap: int | None = None
        for row in range(self._end):
            place = self._places.get(row)
            if place is None:
                gap = row if gap is None else gap
                continue
            if gap is not None:
                self.counts.missing.append((gap, row - 1))
                gap = None
            yield self._line(place)

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Shards:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _index(self, path: Path, base: int) -> int:
        try:
            file = self._stack.enter_context(path.open("rb"))
            size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}", hint="check the path") from None
        self._files.append((path, base, file))
        place = base
        for number, line in enumerate(file, 1):
            if line.strip():
                self._take(path, number, line, place)
            place += len(line)
        return base + size

    def _take(self, path: Path, number: int, line: bytes, place: int) -> None:
        row, fields = self._read(path, number, line)
        known = self._places.get(row)
        if known is not None:
            raise ConfigError(
                f"{path}:{number}: row {row} stands in {self._of(known)[0]} too",
                hint="give each shard's output once; shards of one batch share no row",
            )
        self._forms.add("custom_id" in fields)
        if len(self._forms) > 1:
            hint = "run the shards with the same --format; nothing is sent again for it"
            raise ConfigError(f"{path}:{number}: another form than the rows before", hint=hint)
        self._places.put(row, place)
        self._end = max(self._end, row + 1)
        counts = self.counts
        counts.rows += 1
        status = status_of(fields)
        counts.failed += status in ("failed", "refused")
        counts.pending += status == "pending"

    def _read(self, path: Path, number: int, line: bytes) -> tuple[int, dict[str, Any]]:
        """The row's number and its fields."""
        try:
            fields = orjson.loads(line)
            row = fields["row"] if "row" in fields else int(fields["id"].removeprefix(OPENAI_ID))
            if row.__class__ is int and row >= 0:
                return row, fields
        except (ValueError, TypeError, KeyError, AttributeError):
            pass
        raise ConfigError(
            f"{path}:{number}: not a row of a batch's output", hint="merge takes what batch wrote"
        )

    def _of(self, place: int) -> tuple[Path, int, IO[bytes]]:
        return next(found for found in reversed(self._files) if found[1] <= place)

    def _line(self, place: int) -> bytes:
        _, base, file = self._of(place)
        file.seek(place - base)
        return file.readline().rstrip(b"\r\n")


def status_of(fields: dict[str, Any]) -> str:
    """A row's status in either form."""
    if "custom_id" not in fields:
        return str(fields.get("status"))
    error, response = fields.get("error"), fields.get("response")
    if error:
        return "pending" if error.get("code") == "pending" else "failed"
    return "ok" if response and response.get("status_code") == 200 else "failed"


def merge(paths: list[Path], out: Path | None, sink: IO[bytes]) -> Merged:
    """Writes the rows of all outputs to `out` by rename, or to `sink` where it is None."""
    if out is not None:
        for path in paths:
            if path.exists() and out.exists() and out.samefile(path):
                raise UsageError(f"{out}: one of the inputs", hint="choose another -o")
    with Shards(paths, out.parent if out else None) as shards:
        if out is None:
            _write(shards, sink)
            return shards.counts
        from llmctl.batch.finish import Beside, told

        with told(out), Beside(out) as whole:
            _write(shards, whole.file)
            whole.ready()
            whole.rename()
        return shards.counts


def _write(shards: Shards, file: IO[bytes]) -> None:
    for line in shards.lines():
        file.write(line + b"\n")
