"""Forgets: stored answers, the ledger's hashes and tags, journals of batches, and the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmctl.batch import journals
from llmctl.services import Services
from llmctl.state import log_forget, neighbours
from llmctl.usage.forget import Tagged, forget, tagged


@dataclass(slots=True)
class Purged:
    """What went. `busy` are journals that a batch is writing, `kept` outputs, which are the user's own."""

    answers: int = 0
    calls: int = 0
    log_lines: int = 0
    journals: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def envelope(self) -> dict[str, Any]:
        """JSON for scripts; counts, and paths of files."""
        return {name: getattr(self, name) for name in self.__slots__}


def purge(services: Services, *, before: float | None = None, tag: str | None = None) -> Purged:
    """What is older than `before` (Unix seconds), or was asked with the tag; everything with neither.

    StorageError where something cannot be removed. The ledger comes last: it knows what has the tag, so
    that the same call can go on where this one stopped.
    """
    home, done = services.home, Purged()
    found = Tagged() if tag is None else tagged(home / "ledger.db", tag)
    for each in journals.known(home):
        if before is not None and _changed(each.journal) >= before:
            continue
        if tag is not None and found.runs.isdisjoint(each.runs):
            continue
        (done.journals if journals.remove(each.journal) else done.busy).append(str(each.journal))
        if each.out is not None and each.out.exists():
            done.kept.append(str(each.out))
    journals.forget(home)
    for path in (home / "running").glob("*.json"):  # of batches, by the names of their files
        if (tag is None or path.stem in found.runs) and (before is None or _changed(path) < before):
            path.unlink(missing_ok=True)
    if (home / "cache").is_dir():
        cache = services.open_cache()
        done.answers = cache.forget(before=before, requests=None if tag is None else found.requests)
        cache.close()
        neighbours.clear(home / "cache")  # an index only: it is made again
    done.log_lines = log_forget.forget(home / "logs", before=before, tag=tag)
    done.calls = forget(home / "ledger.db", before=before, tag=tag)
    return done


def _changed(path: Path) -> float:
    return path.lstat().st_mtime
