"""The log: one JSON object a line, private, masked, turned over by size.

    {"time": "2026-11-22T07:30:01.123Z", "level": "info", "run_id": "…", "event": "call", …}

Lines are appended whole, so that processes may share the file. A log that cannot be written is
warned of once and then done without: an answer that is paid for matters more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from llmctl.core.errors import StorageError
from llmctl.core.files import private_descriptor, private_folder
from llmctl.core.hidden import mask

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "off": 100}
NAME = "llmctl.log"
ENDS = "\x85\u2028\u2029"
TOLD = LEVELS["warning"]
MOST_WAITING = 10_000
"""Lines that wait for `flush` at most."""


class FileLog:
    """Implements `core.ports.Log`. The file is opened when there is something to write, and closed again."""

    def __init__(
        self,
        folder: Path,
        run_id: str,
        *,
        level: str = "info",
        max_bytes: int = 10 * 2**20,
        keep: int = 3,
        group: bool = False,
    ) -> None:
        """`keep` older files stay beside it; with `group` lines wait for `flush`."""
        self.path = folder / NAME
        self.run_id = run_id
        self.group = group
        self.warn: Callable[[str], None] = lambda text: None
        self.tell: Callable[[str], None] | None = None
        """Told what went wrong too, as a line for people; what went well the command says itself."""
        self._least = LEVELS[level]
        self._max_bytes = max_bytes
        self._keep = keep
        self._waiting: list[str] = []
        self._broken = False
        self._second = 0
        self._stamp = ""

    def wants(self, level: str) -> bool:
        return LEVELS[level] >= self._least

    def event(self, level: str, event: str, **fields: Any) -> None:
        """Writes one line, where the level is wanted. Fields are what orjson takes; others as their text."""
        if LEVELS[level] < self._least:
            return
        line = {"time": self._now(), "level": level, "run_id": self.run_id, "event": event, **fields}
        text = orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        if not text.isascii():  # what some readers take for the end of a line
            for sign in ENDS:
                text = text.replace(sign, f"\\u{ord(sign):04x}")
        self._waiting.append(mask(text))
        if not self.group or len(self._waiting) >= MOST_WAITING:
            self.flush()
        if self.tell is not None and LEVELS[level] >= TOLD:
            self.tell(mask(for_people(level, event, fields)))

    def flush(self) -> None:
        """Writes what waits."""
        waiting, self._waiting = self._waiting, []
        if not waiting or self._broken:
            return
        data = "\n".join([*waiting, ""]).encode("utf-8", "backslashreplace")
        try:
            private_folder(self.path.parent)
            if self._full(len(data)):
                self._turn_over(len(data))
            fd = private_descriptor(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            try:
                os.write(fd, data)
            finally:
                os.close(fd)
        except (OSError, StorageError) as error:
            self._broken = True
            what = error.message if isinstance(error, StorageError) else f"{self.path}: {error.strerror}"
            self.warn(f"the log cannot be written ({what}); going on without it")

    close = flush

    def _full(self, more: int) -> bool:
        try:
            size = self.path.lstat().st_size
        except FileNotFoundError:
            return False
        return size > 0 and size + more > self._max_bytes

    def _turn_over(self, more: int) -> None:
        """One process renames; the others find it done."""
        with locked(self.path.parent):
            if not self._full(more):
                return
            older = [self.path, *(self.path.with_name(f"{NAME}.{n}") for n in range(1, self._keep + 1))]
            if not self._keep:
                self.path.unlink()
            for n in range(len(older) - 1, 0, -1):
                with suppress(FileNotFoundError):
                    older[n - 1].replace(older[n])

    def _now(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._stamp}.{int(now % 1 * 1000):03d}Z"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone among the processes that turn the log of this folder over, or take lines out of it."""
    import fcntl

    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def for_people(level: str, event: str, fields: dict[str, Any]) -> str:
    """`07:30:01 warning attempt: model=openai/gpt-4o-mini error=rate_limit`; hashes and nothings left out."""
    told = " ".join(
        f"{name}={value}"
        for name, value in fields.items()
        if value is not None and not name.endswith("hash") and name not in ("call", "messages", "answer")
    )
    return f"{time.strftime('%H:%M:%S')} {level} {event}: {told}"
