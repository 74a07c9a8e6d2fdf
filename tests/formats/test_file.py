"""Reports in files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from llmctl.core.errors import StorageError
from llmctl.formats.file import write_file


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Whoever reads it meanwhile sees the old or the new one, and nothing else is left in the folder."""
    path = tmp_path / "usage.svg"
    path.write_text("old")
    held = path.open()
    write_file(str(path), b"new")
    assert held.read() == "old"
    assert path.read_bytes() == b"new"
    assert [found.name for found in tmp_path.iterdir()] == ["usage.svg"]
    held.close()


def test_a_pipe_is_written_to_not_replaced(tmp_path: Path) -> None:
    """`-o /dev/stdout` and named pipes are places to write to."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_file(str(path), b"text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)


@pytest.mark.parametrize("name", ["missing/usage.csv", "file/usage.csv", "."])
def test_what_cannot_be_written_is_an_error_of_one_line(tmp_path: Path, name: str) -> None:
    """The path and the reason: no traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written") as told:
        write_file(str(tmp_path / name), b"")
    assert told.value.exit_code == 3
