"""Rows to stdout while the batch runs: in input order as soon as may be, or as they finish."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING, Literal

from llmctl.batch.finish import Finisher
from llmctl.batch.rows import Row

if TYPE_CHECKING:
    from asyncio import Event


class Emitter:
    """Called after every finished row; holds nothing but where it is in the input."""

    def __init__(self, finisher: Finisher, out: IO[bytes] | None = None) -> None:
        self.room: Event | None = None
        """Set while rows may be begun, where this must not be given too many; stdout waits by itself."""
        self.finisher = finisher
        self.out = out or sys.stdout.buffer
        self.done_order = finisher.job.order == "done"
        self._lines = None if self.done_order else finisher.source.raw_rows()
        self._next = None if self._lines is None else next(self._lines, None)

    def row(self, row: Row) -> None:
        if self.done_order:
            self._write(self.finisher.payload_of(row, self.finisher.store.of_row(row.number)))
        else:
            self._advance()

    def end(self, *, pending: bool) -> None:
        """What is left, and as `pending` (where that is wanted) what will not be asked any more."""
        if self.done_order and pending:
            for _, record, payload in self.finisher.lines():
                if record is None:
                    self._write(payload)
        elif not self.done_order:
            self._advance("pending" if pending else "skip")
        self.flush()

    def _advance(self, unfinished: Literal["wait", "pending", "skip"] = "wait") -> None:
        assert self._lines is not None
        while self._next is not None:
            raw = self._next
            if self.finisher.job.takes(raw.number):
                record = self.finisher.store.of_row(raw.number)
                if record is None and unfinished == "wait":
                    return
                if record is not None or unfinished == "pending":
                    self._write(self.finisher.payload(raw, record))
            self._next = None  # told: should reading on fail, it must not be told again
            self._next = next(self._lines, None)

    def _write(self, payload: bytes) -> None:
        self.out.write(payload + b"\n")
        self.flush()

    def flush(self) -> None:
        self.out.flush()
