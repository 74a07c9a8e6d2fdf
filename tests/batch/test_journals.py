"""Where journals are: `purge` must find every one that holds answers, and no batch may lose its own."""

from __future__ import annotations

import fcntl
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from llmctl.batch import journals
from llmctl.batch.journal import NO_KEY, Journal
from llmctl.core.errors import StorageError


def made(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.touch()
    return paths


def found(home: Path) -> set[str]:
    return {known.journal.name for known in journals.known(home)}


def test_a_note_after_one_that_was_cut(tmp_path: Path) -> None:
    """A kill in the middle of a note must not hide the next batch's journal from `purge`."""
    a, b = made(tmp_path, "a", "b")
    journals.note(tmp_path, "r1", a, None)
    with (tmp_path / journals.NAME).open("ab") as file:
        file.write(b'{"run": "r2", "jour')
    journals.note(tmp_path, "r3", b, None)
    assert found(tmp_path) == {"a", "b"}


def test_a_note_while_others_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that starts while `purge` writes the notes anew is found by the next `purge`."""
    a, b, _ = made(tmp_path, "a", "b", journals.NAME)
    journals.note(tmp_path, "r1", a, None)
    starting = Thread(target=journals.note, args=(tmp_path, "r2", b, None))
    known = journals.known

    def slow(home: Path) -> list[journals.Known]:
        left = known(home)
        starting.start()
        starting.join(0.2)
        return left

    monkeypatch.setattr(journals, "known", slow)
    journals.forget(tmp_path)
    monkeypatch.undo()
    starting.join()
    assert found(tmp_path) == {"a", "b"}


def test_a_purge_between_a_journals_opening_and_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that wrote into a file without a name would lose all that was paid, and exclude nobody."""
    (path,) = made(tmp_path, "out.journal")
    lock = fcntl.flock

    def late(file: Any, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        assert journals.remove(path)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    journal = Journal(path)
    journal.append("h", 0, NO_KEY, b"{}")
    assert path.stat().st_size
    with pytest.raises(StorageError, match="another run is writing it"):
        Journal(path)
    assert not journals.remove(path)
    journal.close()
