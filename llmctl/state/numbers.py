"""The numbers of calls: unlike each other, and growing, whichever process of a machine gives them.

63 bits: 42 of milliseconds, 11 of the process, 10 that count. Which of the 2,048 places a process has is
kept by a lock on that byte of a file, which the system gives up with the process, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from _thread import allocate_lock
from collections.abc import Callable
from pathlib import Path

from llmctl.core.canonical import digest

PLACES = 2048
MOST = 1024
"""Calls in a millisecond; more of them take the next one's numbers."""


class Numbers:
    """One process's numbers; `place` is which of its kind it is, `now` gives Unix seconds."""

    def __init__(self, now: Callable[[], float], place: int) -> None:
        self._now = now
        self._place = place << 10
        self._lock = allocate_lock()
        self._ms = 0
        self._count = 0

    def __call__(self) -> int:
        with self._lock:
            ms = int(self._now() * 1000)
            if ms > self._ms:
                self._ms, self._count = ms, 0
            else:  # the same one still, or a clock that was set back
                self._count += 1
                if self._count == MOST:
                    self._ms, self._count = self._ms + 1, 0
            return self._ms << 21 | self._place | self._count


_known: dict[tuple[int, Path], Numbers] = {}
_guard = allocate_lock()


def numbers(folder: Path, now: Callable[[], float]) -> Numbers:
    """The numbers of this process for the ledger in that folder: the same object for all who ask."""
    # A process that was forked takes a place of its own; links to one folder share theirs, since a lock
    # excludes nobody of the same process.
    key = os.getpid(), folder.resolve()
    with _guard:
        if key not in _known:
            _known[key] = Numbers(now, _place(folder / "numbers.lock"))
        return _known[key]


def _place(path: Path) -> int:
    """A place that no other living process has, as far as files can be locked there; else one by chance."""
    first = (int(digest(os.uname().nodename.encode())[:4], 16) + os.getpid()) % PLACES
    try:
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)  # open until the process ends
    except OSError:  # told by the ledger, which lies beside it
        return first
    for step in range(PLACES):
        place = (first + step) % PLACES
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):
            continue
        except OSError:  # a file system without locks
            break
        return place
    os.close(file)
    return first
