"""Rows to stdout while the batch runs: in input order as soon as may be, or as they finish."""

from __future__ import annotations

import sys
from typing import IO

from llmctl.batch.finish import Finisher
from llmctl.batch.outputs import shared
from llmctl.batch.rows import Row


class Emitter:
    """Called after every finished row; holds nothing but where it is in the input."""

    def __init__(self, finisher: Finisher, out: IO[bytes] | None = None) -> None:
        self.finisher = finisher
        self.out = out or sys.stdout.buffer
        self.done_order = finisher.job.order == "done"
        self._lines = None if self.done_order else finisher.source.raw_rows()
        self._next = None if self._lines is None else next(self._lines, None)

    def row(self, row: Row) -> None:
        if self.done_order:
            record = self.finisher.store.of_row(row.number)
            assert record is not None
            self._write(record.payload if record.row == row.number else shared(record.payload, row))
        else:
            self._advance(final=False)

    def end(self) -> None:
        """What is left: rows that will not be asked any more are written as pending."""
        if self.done_order:
            for _, record, payload in self.finisher.lines():
                if record is None:
                    self._write(payload)
        else:
            self._advance(final=True)
        self.out.flush()

    def _advance(self, *, final: bool) -> None:
        assert self._lines is not None
        while self._next is not None:
            raw = self._next
            if self.finisher.job.takes(raw.number):
                record = self.finisher.store.of_row(raw.number)
                if record is None and not final:
                    return
                self._write(self.finisher.payload(raw, record))
            self._next = next(self._lines, None)

    def _write(self, payload: bytes) -> None:
        self.out.write(payload + b"\n")
        self.out.flush()
