"""Which files a batch may write: nobody else's, and no input."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from llmctl.batch.job import Job
from llmctl.batch.source import Source
from llmctl.batch.store import Store
from llmctl.core.errors import StorageError, UsageError


def guard_files(job: Job, source: Source) -> None:
    """UsageError where the input would be overwritten, StorageError where OUT is no regular file.

    Or where its name is so long that there is no room for those of the files beside it.
    """
    if job.out is not None and job.out.is_dir():
        raise StorageError(f"{job.out}: a folder", hint="name the file that the answers go to")
    if job.failed_out is not None:
        try:
            os.lstat(draft_of(job.failed_out))
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise StorageError(f"{job.out}: {error.strerror}", hint="choose a shorter one") from None
    for path in (job.out, job.failed_out, job.journal):
        if path is None or not path.exists():
            continue
        if not path.is_file():
            hint = "for stdout leave -o out" if path.is_char_device() or path.is_fifo() else None
            raise StorageError(f"{path}: not a regular file", hint=hint or "choose another -o")
        if source.path is not None and source.path.exists() and path.samefile(source.path):
            raise UsageError(f"{path}: the input itself would be overwritten", hint="choose another -o")
    if job.out is not None and job.journal is not None and not (job.restart or job.journal.exists()):
        for path in (job.out, job.failed_out):
            if path is not None and path.exists():
                raise not_ours(path)


def guard_output(job: Job, store: Store) -> None:
    """An OUT (or OUT.failed.jsonl) that no run of this journal wrote is somebody else's."""
    for path in (job.out, job.failed_out):
        if path is not None and path.exists() and not store.owns(path):
            raise not_ours(path)


def draft_of(path: Path) -> Path:
    """Where a file is written that is to take the path's name when it is whole."""
    return path.with_name(f".{path.name}.tmp")


def not_ours(path: Path) -> StorageError:
    return StorageError(
        f"{path}: not written by this batch, or changed since",
        hint="move it away, choose another -o, or replace it with --restart (which asks every row anew)",
    )
