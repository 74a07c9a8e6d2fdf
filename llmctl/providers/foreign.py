"""What libraries log goes into our log, and nowhere else: not to the terminal, and with no key in it.

A library's words may quote a prompt or an answer, so that they too are a hash and a length, unless
the profile wants texts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from llmctl.core.canonical import digest
from llmctl.core.hidden import mask
from llmctl.core.ports import Log

OWN = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
"""Loggers of a library that nobody but us has loaded."""
SHARED = ("aiohttp", "httpx", "httpcore", "openai", "asyncio")
"""Those that a program around us may use and listen to itself."""


class Bridge(logging.Handler):
    """From Python's logging to a `Log`; without one, to nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.book: Log | None = None
        self.texts = False

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower().replace("critical", "error")
        if self.book is None or level not in ("debug", "info", "warning", "error"):
            return
        try:
            self.book.event(level, "library", **self._told(record))
        except Exception:  # noqa: BLE001  # logging must never fail the call that it tells of
            return

    def _told(self, record: logging.LogRecord) -> dict[str, Any]:
        said = record.getMessage()
        fields: dict[str, Any] = {"logger": record.name, "where": f"{record.module}:{record.lineno}"}
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = record.exc_info[0].__name__
        if self.texts:
            return {**fields, "message": said}
        return {
            **fields,
            "message_hash": digest(said.encode("utf-8", "replace"))[:32],
            "message_chars": len(said),
        }


class Masked:
    """Makes records as before; one of a library that holds a key is changed, whoever will hear it."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **more: Any) -> logging.LogRecord:
        record = self._make(*args, **more)
        if record.name.partition(".")[0] in SHARED:
            said = record.getMessage()
            if (masked := mask(said)) != said:
                record.msg, record.args = masked, None
            if record.exc_info and record.exc_info[0] is not None:
                said = logging.Formatter().formatException(record.exc_info)
                if (masked := mask(said)) != said:
                    record.exc_text, record.exc_info = masked, None
        return record


BRIDGE = Bridge()
"""One for the process: loggers are the process's too."""


def listen(book: Log | None, *, texts: bool, alone: bool) -> None:
    """Leads the libraries' logging to `book`. `alone`: the process is ours, so all logging is.

    In another's program only litellm's goes to our log; what the others log stays that program's to
    hear, without keys.
    """
    BRIDGE.book, BRIDGE.texts = book, texts
    everything = book is not None and book.wants("debug")
    BRIDGE.setLevel(logging.INFO if everything else logging.WARNING)
    adopt(OWN)
    if alone:
        root = logging.getLogger()
        root.handlers = [BRIDGE]
        root.setLevel(BRIDGE.level)
        return
    make = logging.getLogRecordFactory()
    if not isinstance(make, Masked):
        logging.setLogRecordFactory(Masked(make))


def adopt(names: tuple[str, ...] = OWN) -> None:
    """Takes loggers over whole: their own handlers write to the terminal."""
    for name in names:
        logger = logging.getLogger(name)
        logger.handlers = [BRIDGE]
        logger.setLevel(BRIDGE.level or logging.WARNING)
        logger.propagate = False
