"""Takes lines out of the log: by time, by tag, or all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from llmctl.core.errors import StorageError
from llmctl.core.files import private_open
from llmctl.state.log import NAME, locked

Line = dict[str, Any]


def forget(folder: Path, *, before: float | None = None, tag: str | None = None) -> int:
    """Lines from before then, or of calls with the tag; all where neither is given. Says how many.

    Reports of crashes go with the log, but not by a tag: they tell of no call.
    """
    if not folder.is_dir():
        return 0
    try:
        with locked(folder):
            files = sorted(folder.glob(f"{NAME}*"))
            calls = set(_calls(files, tag)) if tag is not None else set()

            def goes(line: Line) -> bool:
                if before is not None:
                    return _at(line) < before
                return tag is None or line.get("tag") == tag or line.get("call") in calls

            crashes = (
                [] if tag is not None else [path for path in folder.glob("crash-*.log") if _old(path, before)]
            )
            for path in crashes:
                path.unlink()
            return len(crashes) + sum(_without(path, goes) for path in files)
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}", hint="remove it by hand") from None


def _lines(path: Path) -> Iterator[tuple[bytes, Line]]:
    with private_open(path, os.O_RDONLY, "rb") as file:
        for text in file:
            try:
                line = orjson.loads(text)
            except ValueError:  # cut, or not ours: it goes with whatever else goes
                line = {}
            yield text, line if isinstance(line, dict) else {}


def _calls(files: list[Path], tag: str) -> Iterator[object]:
    for path in files:
        yield from (line["call"] for _, line in _lines(path) if line.get("tag") == tag and "call" in line)


def _without(path: Path, goes: Callable[[Line], bool]) -> int:
    """Writes the file anew beside itself where something goes, and leaves none where nothing stays."""
    gone, kept = 0, []
    for text, line in _lines(path):
        if goes(line):
            gone += 1
        else:
            kept.append(text)
    if not kept:
        path.unlink()
    elif gone:
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        with private_open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, "wb") as file:
            file.writelines(kept)
        draft.replace(path)
    return gone


def _at(line: Line) -> float:
    try:
        return datetime.fromisoformat(str(line.get("time"))).timestamp()
    except ValueError:
        return 0.0


def _old(path: Path, before: float | None) -> bool:
    return before is None or path.lstat().st_mtime < before
