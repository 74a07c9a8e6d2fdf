"""Writes every call into the ledger: answers, hits and failures alike."""

from __future__ import annotations

import time
from collections.abc import Callable

from llmctl.core.canonical import fingerprint
from llmctl.core.errors import Interrupted, LlmctlError, StorageError, tried_of
from llmctl.core.model import Request, Response, Send, replace
from llmctl.core.ports import Ledger


def record(next: Send, ledger: Ledger, number: Callable[[], int]) -> Send:
    """Gives the call its number and its latency, and the ledger its outcome."""

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
        try:
            ledger.record(request, response, response.latency)
        except StorageError as error:
            return unwritten(response, error)
        return response

    return send


def unwritten(response: Response, error: StorageError) -> Response:
    """The response; a ledger that cannot be written any more is a warning, since the answer is paid for.

    The next call finds it out before it is sent.
    """
    return replace(response, warnings=(*response.warnings, f"not in the ledger: {error.message}"))
