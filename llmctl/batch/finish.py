"""The end of a batch: OUT whole and in order by rename, and the failed rows ready to run again."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from itertools import chain
from pathlib import Path
from typing import IO, Any

import orjson

from llmctl.batch.guard import draft_of, guard_output
from llmctl.batch.index import Offsets, Rows, unnamed
from llmctl.batch.job import Job
from llmctl.batch.journal import NO_KEY, Record
from llmctl.batch.lines import RawRow
from llmctl.batch.outputs import is_final, is_openai, render, shared, written
from llmctl.batch.rows import Row, openai_kind, parse
from llmctl.batch.source import Source
from llmctl.batch.store import DONE, Store, digest_of_file
from llmctl.batch.tally import Tally
from llmctl.core.errors import StorageError

Restore = Callable[[Row, bytes], bytes]
"""Puts back what was redacted in a row's payload; the input row tells what it was."""


class Finisher:
    """Writes what a run has come to. `template`: rows are variables of a template."""

    def __init__(
        self, job: Job, source: Source, store: Store, template: bool, restore: Restore | None
    ) -> None:
        self.job = job
        self.source = source
        self.store = store
        self.template = template
        self.restore = restore

    def payload(self, raw: RawRow, record: Record | None) -> bytes:
        """The row's output line: its own record, another row's that it shares, or `pending`."""
        if (
            record is not None
            and record.row == raw.number
            and (self.restore is None or is_final(record.payload, raw.number))
        ):
            openai = self._openai(raw, record.payload)
            if openai is not None:
                return written(record.payload, openai)
        return self.payload_of(parse(raw, self.template), record)

    def payload_of(self, row: Row, record: Record | None) -> bytes:
        """As `payload`, for a row that has been read already."""
        if record is None:
            return written(render(row, None, False), self.job.openai(row))
        payload = record.payload if record.row == row.number else shared(record.payload, row)
        return written(self.restore(row, payload) if self.restore else payload, self.job.openai(row))

    def _openai(self, raw: RawRow, payload: bytes) -> bool | None:
        """Whether the row's own record is written in OpenAI's form; None where the row has to be read for it.

        The record alone does not tell: the run that made it may have had another --format.
        """
        if self.job.format is not None:
            return self.job.format == "openai"
        if self.template:
            return False
        openai = openai_kind(raw)
        return openai if not openai or is_openai(payload) else None

    def lines(self) -> Iterator[tuple[RawRow, Record | None, bytes]]:
        """Every row of this run in input order, with its record and its output."""
        for raw in self.source.raw_rows():
            if self.job.takes(raw.number):
                record = self.store.of_row(raw.number)
                yield raw, record, self.payload(raw, record)
            elif self.job.limit is not None and raw.number >= self.job.limit:
                return

    def write(self, tally: Tally, context: str) -> None:
        """OUT and OUT.failed.jsonl by rename, then the journal's closing record.

        StorageError where either is somebody else's by now. The journal knows both before they get their
        names: whenever the process is killed, the next run knows its own files. It knows them twice: a
        last line that gets torn must not make them strangers.
        """
        out, failed_out = self.job.out, self.job.failed_out
        assert out is not None
        assert failed_out is not None
        with told(out), Beside(out) as whole, Beside(failed_out) as failed:
            failures = self._fill(whole.file, failed.file)
            done = {
                "input": self.source.digest(),
                "context": context,
                "out": whole.ready(),
                "failed_out": failed.ready() if failures else None,
                "summary": tally.envelope(),
            }
            guard_output(self.job, self.store)
            for _ in range(2):
                self.store.journal.append(DONE, 0, NO_KEY, orjson.dumps(done))
            self.store.journal.sync()
            whole.rename()
            if failures:
                failed.rename()
            else:
                with told(failed_out):
                    failed_out.unlink(missing_ok=True)

    def _fill(self, whole: IO[bytes], failed: IO[bytes]) -> int:
        """Writes both files; gives the number of rows that failed."""
        failures = 0
        with Shuffle(self.job.out) if self.job.order == "done" else nullcontext() as shuffle:
            for raw, record, payload in self.lines():
                if shuffle is None:
                    whole.write(payload + b"\n")
                else:
                    shuffle.add(raw.number, payload)
                if record is not None and record.kind != "o" and (line := raw.json()):
                    failed.write(line + b"\n")
                    failures += 1
            if shuffle is not None:
                shuffle.write(whole, (record.row for record in self.store.in_order()))
        return failures


class Shuffle:
    """Rows that come in one order and are wanted in another, kept on disk in a file without a name."""

    def __init__(self, out: Path | None) -> None:
        folder = out.parent if out else None
        self._file = unnamed(folder)
        self._places = Offsets(folder)
        self._rows = 0

    def add(self, row: int, payload: bytes) -> None:
        self._places.put(row, self._file.tell())
        self._file.write(payload + b"\n")
        self._rows = row + 1

    def write(self, whole: IO[bytes], first: Iterator[int]) -> None:
        """The rows of `first` in its order, then the others in their own."""
        told = Rows()
        for row in chain(first, range(self._rows)):
            place = self._places.get(row)
            if place is not None and row not in told:
                told.add(row)
                self._file.seek(place)
                whole.write(self._file.readline())

    def __enter__(self) -> Shuffle:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._places.close()


class Draft(io.FileIO):
    """A file to be written, whose faults name `path`: what it is written for."""

    def __init__(self, file: Path, path: Path) -> None:
        file.unlink(missing_ok=True)  # of a run that was killed; a link there may lead to anything
        super().__init__(file, "xb")
        self.path = path

    def write(self, data: Any, /) -> int:
        with told(self.path):
            return super().write(data)


class Beside:
    """A file that waits beside `path` to take its name, and is gone afterwards if it did not.

    The journal's lock keeps others from it. StorageError where there is no room for it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.target = path.resolve()  # a link stays one, to an output on another disk maybe
        self.waiting = draft_of(self.target)
        self.file: IO[bytes]

    def ready(self) -> str:
        """On the disk itself; gives its digest."""
        self.file.flush()
        with told(self.path):
            os.fsync(self.file.fileno())
        return digest_of_file(self.waiting)

    def rename(self) -> None:
        with told(self.path):
            self.waiting.replace(self.target)
            folder = os.open(self.target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def __enter__(self) -> Beside:
        try:
            with told(self.path):
                self.file = io.BufferedWriter(Draft(self.waiting, self.path), 1 << 18)
            return self
        except BaseException:  # a signal may come as soon as the file is there
            with suppress(OSError):
                self.waiting.unlink()
            raise

    def __exit__(self, *_: object) -> None:
        try:
            self.file.close()
        finally:
            self.waiting.unlink(missing_ok=True)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """An OSError as a StorageError that names the file and says how to go on."""
    try:
        yield
    except OSError as error:
        hint = "what is finished is in the journal: make room and run the same command again"
        raise StorageError(f"{path}: {error.strerror}", hint=hint) from None
