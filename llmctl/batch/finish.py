"""The end of a batch: OUT whole and in order by rename, and the failed rows ready to run again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import orjson

from llmctl.batch.job import Job
from llmctl.batch.journal import NO_KEY, Record
from llmctl.batch.lines import RawRow
from llmctl.batch.outputs import render, shared
from llmctl.batch.rows import Row, parse
from llmctl.batch.source import Source
from llmctl.batch.store import DONE, Store
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
        if record is not None and record.row == raw.number and self.restore is None:
            return record.payload
        row = parse(raw, self.template)
        if record is None:
            return render(row, None, self.job.openai(row))
        payload = record.payload if record.row == raw.number else shared(record.payload, row)
        return self.restore(row, payload) if self.restore else payload

    def lines(self) -> Iterator[tuple[RawRow, Record | None, bytes]]:
        """Every row of this run in input order, with its record and its output."""
        for raw in self.source.raw_rows():
            if self.job.takes(raw.number):
                record = self.store.of_row(raw.number)
                yield raw, record, self.payload(raw, record)
            elif self.job.limit is not None and raw.number >= self.job.limit:
                return

    def write(self, tally: Tally) -> None:
        """OUT and OUT.failed.jsonl by rename, then the journal's closing record."""
        out, failed_out = self.job.out, self.job.failed_out
        assert out is not None
        assert failed_out is not None
        failures = 0
        with replacing(out) as whole, replacing(failed_out) as failed:
            for raw, record, payload in self.lines():
                if self.job.order == "input":
                    whole.write(payload + b"\n")
                if record is not None and record.kind != "o":
                    failed.write((raw.json() or raw.data) + b"\n")
                    failures += 1
            if self.job.order == "done":
                self._in_done_order(whole)
        if not failures:
            failed_out.unlink(missing_ok=True)
        self._close(out, tally)

    def _in_done_order(self, whole: IO[bytes]) -> None:
        places: set[int] = set()
        for record in self.store.in_order():
            places.add(record.row)
            whole.write(record.payload + b"\n")
        for raw, _, payload in self.lines():
            if raw.number not in places:
                whole.write(payload + b"\n")

    def _close(self, out: Path, tally: Tally) -> None:
        done = {"input": self.source.digest(), "out": digest_of_file(out), "summary": tally.envelope()}
        self.store.journal.append(DONE, 0, NO_KEY, orjson.dumps(done))
        self.store.journal.sync()


def digest_of_file(path: Path) -> str:
    """The bytes of a file as one hash."""
    with Source(str(path)) as source:
        return source.digest()


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file beside `path` that takes its name once it is whole and on the disk."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb", buffering=1 << 18) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        hint = "what is finished is in the journal: make room and run the same command again"
        raise StorageError(f"{path}: {error.strerror}", hint=hint) from None
    finally:
        beside.unlink(missing_ok=True)
