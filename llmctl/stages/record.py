"""Writes every call into the ledger: answers, hits and failures alike."""

from __future__ import annotations

import time

from llmctl.core.canonical import fingerprint
from llmctl.core.errors import Interrupted, LlmctlError, tried_of
from llmctl.core.model import Request, Response, Send, replace
from llmctl.core.ports import Clock, Ledger, Random


def record(next: Send, ledger: Ledger, clock: Clock, random: Random) -> Send:
    """Gives the call its number and its latency, and the ledger its outcome."""

    async def send(request: Request) -> Response:
        started = time.monotonic()
        request = replace(request, call=call_number(clock, random), fingerprint=fingerprint(request))
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
        ledger.record(request, response, response.latency)
        return response

    return send


def call_number(clock: Clock, random: Random) -> int:
    """A 63-bit number that grows with time (milliseconds, then 22 random bits)."""
    return (int(clock.now() * 1000) << 22) | int(random.random() * (1 << 22))
