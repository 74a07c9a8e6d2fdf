"""Where a batch's finished rows are: the journal, with an index by row and one by request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from llmctl.batch.index import Known, Offsets
from llmctl.batch.job import Job
from llmctl.batch.journal import KEY, NO_KEY, VERSION, Journal, Record, look
from llmctl.core.errors import StorageError

HEAD = "h"
DONE = "d"


class Store:
    """The journal opened for one run; `done` is what the last finish wrote about itself, if any."""

    def __init__(self, job: Job, context: str, expected: int = 1024) -> None:
        self.job = job
        folder = job.out.parent if job.out else None
        self.journal = Journal(job.journal)
        self.offsets = Offsets(folder)
        self.known = Known(folder, expected)
        self.done: dict[str, Any] | None = None
        self.before = 0
        """Rows that earlier runs had finished."""
        if job.restart:
            self.journal.clear()
        self._scan(context)
        self.began = self.journal.end
        """Where this run's records begin."""

    def _scan(self, context: str) -> None:
        records = self.journal.records()
        head = next(records, None)
        if head is None:
            if self.journal.damaged:
                raise self._foreign()
            self.context = context
            self.journal.append(HEAD, 0, NO_KEY, orjson.dumps({"version": VERSION, "context": context}))
            return
        fields = headed(head)
        if fields is None:
            raise self._foreign()
        self.context = fields["context"]
        for record in records:
            if record.kind == DONE:
                self.done = orjson.loads(record.payload)
            elif record.key != NO_KEY:
                self.known.put(record.key, record.offset)
        self.before = len(self.known)

    def _foreign(self) -> StorageError:
        return foreign(self.journal.path)

    def find(self, key: str) -> Record | None:
        """The record of a request's identity, with the whole key compared."""
        offset = self.known.get(key)
        if offset is None:
            return None
        record = self.journal.read(offset)
        return record if record.key == key[:KEY] else None

    def put(self, kind: str, row: int, key: str, payload: bytes) -> int:
        """A finished row: on its way to the disk before anyone counts it."""
        offset = self.journal.append(kind, row, key, payload)
        self.offsets.put(row, offset)
        if key != NO_KEY:
            self.known.put(key, offset)
        return offset

    def of_row(self, row: int) -> Record | None:
        offset = self.offsets.get(row)
        return None if offset is None else self.journal.read(offset)

    def in_order(self) -> Iterator[Record]:
        """Rows that have a record of their own, in the order they finished."""
        for record in self.journal.records():
            if record.kind not in (HEAD, DONE) and self.offsets.get(record.row) == record.offset:
                yield record

    def close(self) -> None:
        self.journal.close()
        self.offsets.close()
        self.known.close()


def headed(record: Record) -> dict[str, Any] | None:
    """The fields of a journal's first record; None where it is none of this version."""
    if record.kind != HEAD:
        return None
    fields: dict[str, Any] = orjson.loads(record.payload)
    return fields if fields.get("version") == VERSION else None


def foreign(path: Path) -> StorageError:
    return StorageError(
        f"{path}: not a journal of this version",
        hint="start anew with --restart, or choose another -o",
    )


def finished(job: Job) -> Known | None:
    """The requests that a run of the job would not send again, by identity, each with a 1.

    Read from OUT's journal, which is left as it is; None where nothing is finished.
    """
    if job.journal is None or job.restart:
        return None
    records = look(job.journal)
    head = next(records, None)
    if head is None:
        return None
    if headed(head) is None:
        raise foreign(job.journal)
    known = Known(None)
    for record in records:
        if record.key != NO_KEY:
            known.put(record.key, int(record.kind == "o" or not job.retry_failed))
    return known
