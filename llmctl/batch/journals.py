"""Where the journals of this home's batches are: beside their outputs, but `purge` must find them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llmctl.core.errors import StorageError
from llmctl.core.files import private_folder, private_lock, private_open

NAME = "journals.jsonl"


@dataclass(frozen=True, slots=True)
class Known:
    """A journal, the batch's output beside it, and the runs that wrote it."""

    journal: Path
    out: Path | None
    runs: frozenset[str]


def note(home: Path, run: str, journal: Path | None, out: Path | None) -> None:
    """Remembers that a run writes this journal. StorageError where that cannot be."""
    if journal is None:
        return
    line = {"run": run, "journal": str(journal.absolute()), "out": str(out.absolute()) if out else None}
    try:
        private_folder(home, link=True)
        with _alone(home, os.O_CREAT) as file:
            # The standard library's JSON: it keeps the bytes of a path that is no UTF-8. What stands before
            # it may be a line that was cut.
            os.write(file, b"\n" + json.dumps(line).encode() + b"\n")
    except OSError as error:
        raise _unwritable(home, error) from None


def known(home: Path) -> list[Known]:
    """All that were noted and are still there."""
    found: dict[str, tuple[str | None, set[str]]] = {}
    for line in _lines(home):
        out, runs = found.get(line["journal"], (None, set()))
        found[line["journal"]] = line.get("out") or out, {*runs, line["run"]}
    return [
        Known(Path(journal), Path(out) if out else None, frozenset(runs))
        for journal, (out, runs) in found.items()
        if Path(journal).exists()
    ]


def _lines(home: Path) -> Iterator[dict[str, str]]:
    try:
        with private_open(home / NAME, os.O_RDONLY, "rb") as file:
            for line in file:
                try:
                    value = json.loads(line)
                except ValueError:  # a line that was cut
                    continue
                if isinstance(value, dict) and {"journal", "run"} <= value.keys():
                    yield value
    except FileNotFoundError:
        return


def remove(journal: Path) -> bool:
    """Removes a journal with all it holds; False where a batch is writing it."""
    try:
        fd = private_lock(journal, os.O_RDWR)
        if fd is None:
            return False
        try:
            journal.unlink()
        finally:
            os.close(fd)
    except FileNotFoundError:
        return True
    except OSError as error:
        raise StorageError(f"{journal}: {error.strerror}", hint="remove it by hand") from None
    return True


def forget(home: Path) -> None:
    """Notes of journals that are gone go too. StorageError where the others cannot be written."""
    path = home / NAME
    draft = path.with_name(f".{NAME}.new")
    try:
        with _alone(home):
            lines = [
                {"run": run, "journal": str(each.journal), "out": str(each.out) if each.out else None}
                for each in known(home)
                for run in sorted(each.runs)
            ]
            with private_open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, "wb") as file:
                file.writelines(json.dumps(line).encode() + b"\n" for line in lines)
            draft.replace(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unwritable(home, error) from None


@contextmanager
def _alone(home: Path, flags: int = 0) -> Iterator[int]:
    """The file of notes, which nobody else changes meanwhile. OSError."""
    file = private_lock(home / NAME, os.O_WRONLY | os.O_APPEND | flags, wait=True)
    assert file is not None
    try:
        yield file
    finally:
        os.close(file)


def _unwritable(home: Path, error: OSError) -> StorageError:
    return StorageError(f"{home / NAME}: {error.strerror}", hint="make room, or use another --home")
