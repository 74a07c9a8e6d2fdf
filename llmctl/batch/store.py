"""Where a batch's finished rows are: the journal, with an index by row and one by request."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from llmctl.batch.index import Known, Offsets, Rows
from llmctl.batch.job import Job
from llmctl.batch.journal import KEY, NO_KEY, VERSION, Journal, Record, last, look
from llmctl.core.errors import StorageError

HEAD = "h"
DONE = "d"


class Store:
    """The journal opened for one run; `done` is what the last finish wrote about itself, if any."""

    def __init__(self, job: Job, expected: int = 1024) -> None:
        self.job = job
        folder = job.out.parent if job.out else None
        self.journal = Journal(job.journal)
        self.offsets = Offsets(folder)
        self.known = Known(folder, expected)
        self.done: dict[str, Any] | None = None
        self.outs: set[str | None] = set()
        """Digests of every OUT and OUT.failed.jsonl that runs of this journal wrote or may replace."""
        self.held = Rows()
        """Rows that had a record of their own before this run."""
        self.before = 0
        """Requests that earlier runs had finished."""
        try:
            if job.restart:
                self.journal.clear()
            self._scan()
        except BaseException:  # whatever it was: the lock must not outlive this attempt
            self.close()
            raise
        self.began = self.journal.end
        """Where this run's records begin."""

    def _scan(self) -> None:
        records = self.journal.records()
        head = next(records, None)
        if head is None:
            if self.journal.damaged:
                raise self._foreign()
            self._begin()
            return
        if head.kind != HEAD and not self.journal.damaged:
            raise self._foreign()
        self._take(head)
        for record in records:
            self._take(record)
        self.before = len(self.known)

    def _take(self, record: Record) -> None:
        if record.key != NO_KEY:
            self.known.put(record.key, record.offset)
            self.held.add(record.row)
        elif record.kind == DONE:
            self.done = orjson.loads(record.payload)
            self.outs.update((self.done["out"], self.done["failed_out"]))
        elif record.kind == HEAD:
            fields = orjson.loads(record.payload)
            if fields.get("version") != VERSION:
                raise self._foreign()
            self.outs.update(fields["replaces"])

    def _begin(self) -> None:
        """The head of a new journal; with --restart it remembers which files it may replace."""
        files = (self.job.out, self.job.failed_out) if self.job.restart else ()
        replaces = [found for file in files if (found := digest_of(file))]
        self.journal.append(HEAD, 0, NO_KEY, orjson.dumps({"version": VERSION, "replaces": replaces}))
        self.outs.update(replaces)

    def owns(self, path: Path) -> bool:
        """Whether a run of this journal wrote the file as it stands now, or may replace it."""
        return path.is_file() and digest_of_file(path) in self.outs

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


def foreign(path: Path) -> StorageError:
    return StorageError(
        f"{path}: not a journal of this version",
        hint="start anew with --restart, or choose another -o",
    )


def finished(job: Job) -> Known | None:
    """The requests that a run of the job would not send again, by identity, each with a 1.

    Read from OUT's journal, which is left as it is; None where there is none to be read. StorageError
    where it is of another version.
    """
    if job.journal is None or job.restart:
        return None
    known = Known(None)
    for record in look(job.journal):
        if record.key != NO_KEY:
            known.put(record.key, int(record.kind == "o" or not job.retry_failed))
        elif record.kind == HEAD and orjson.loads(record.payload).get("version") != VERSION:
            raise foreign(job.journal)
    return known


def closing(job: Job) -> dict[str, Any] | None:
    """What the last finish wrote about itself, where nothing stands behind it: read at the journal's end."""
    if job.journal is None or job.restart:
        return None
    record = last(job.journal)
    found: dict[str, Any] | None = orjson.loads(record.payload) if record and record.kind == DONE else None
    return found


def digest_of(path: Path | None) -> str | None:
    """None where there is no such file."""
    return digest_of_file(path) if path is not None and path.is_file() else None


def digest_of_file(path: Path) -> str:
    """The bytes of a file as one hash, that of `Source.digest`. StorageError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None
