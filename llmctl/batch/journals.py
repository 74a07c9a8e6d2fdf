"""Where the journals of this home's batches are: beside their outputs, but `purge` must find them."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llmctl.core.errors import StorageError
from llmctl.core.files import private_descriptor, private_folder, private_open

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
        with private_open(home / NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, "ab") as file:
            # The standard library's JSON: it keeps the bytes of a path that is no UTF-8.
            file.write(json.dumps(line).encode() + b"\n")
    except OSError as error:
        raise StorageError(
            f"{home / NAME}: {error.strerror}", hint="make room, or use another --home"
        ) from None


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
        fd = private_descriptor(journal, os.O_RDWR)
    except FileNotFoundError:
        return True
    except OSError as error:
        raise StorageError(f"{journal}: {error.strerror}", hint="remove it by hand") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        journal.unlink()
        return True
    except BlockingIOError:
        return False
    except OSError as error:
        raise StorageError(f"{journal}: {error.strerror}", hint="remove it by hand") from None
    finally:
        os.close(fd)


def forget(home: Path) -> None:
    """Notes of journals that are gone go too."""
    left = known(home)
    path = home / NAME
    if not path.exists():
        return
    lines = [
        {"run": run, "journal": str(each.journal), "out": str(each.out) if each.out else None}
        for each in left
        for run in sorted(each.runs)
    ]
    draft = path.with_name(f".{NAME}.{os.getpid()}")
    with private_open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, "wb") as file:
        file.writelines(json.dumps(line).encode() + b"\n" for line in lines)
    draft.replace(path)
