"""Writes every call into the ledger: answers, hits and failures alike."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from llmctl.core.canonical import digest, fingerprint
from llmctl.core.errors import Interrupted, LlmctlError, StorageError, tried_of
from llmctl.core.model import Request, Response, Send, replace
from llmctl.core.ports import Clock, Ledger


def record(next: Send, ledger: Ledger, clock: Clock) -> Send:
    """Gives the call its number and its latency, and the ledger its outcome."""

    number = call_numbers(clock)

    async def send(request: Request) -> Response:
        started = time.monotonic()
        request = replace(request, call=number(), fingerprint=fingerprint(request))
        try:
            response = await next(request)
        except LlmctlError as error:
            ledger.record(request, error, time.monotonic() - started)
            raise
        except BaseException as error:  # cancelled or interrupted: the ledger tells that too
            left = Interrupted(2, billed="unknown")
            left.tried = tried_of(error)
            ledger.record(request, left, time.monotonic() - started)
            raise
        response = replace(response, latency=time.monotonic() - started)
        return written(response, lambda: ledger.record(request, response, response.latency))

    return send


def written(response: Response, write: Callable[[], None]) -> Response:
    """The response; a ledger that cannot be written any more is a warning, since the answer is paid for.

    The next call finds it out before it is sent.
    """
    try:
        write()
    except StorageError as error:
        return replace(response, warnings=(*response.warnings, f"not in the ledger: {error.message}"))
    return response


def call_numbers(clock: Clock, process: int | None = None) -> Callable[[], int]:
    """Gives 63-bit numbers that grow: 42 bits of milliseconds, 11 of the process, 10 that count.

    No two calls of a process get the same one, however fast they come or the clock is set back; nor do
    two processes of a machine, unless their numbers (default: the system's) are 2,048 apart.
    """
    own = (int(digest(os.uname().nodename.encode())[:4], 16) + (process or os.getpid())) % 2048 << 10
    last = 0

    def number() -> int:
        nonlocal last
        last = max(int(clock.now() * 1000) << 21 | own, last + 1)
        return last

    return number
