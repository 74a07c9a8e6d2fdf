"""Tells OpenTelemetry of every call that the ledger knows; does nothing where that is off."""

from __future__ import annotations

import time
from typing import Protocol

from llmctl.core.model import Request, Response, Send
from llmctl.core.ports import Clock


class Telemetry(Protocol):
    """Who is told: `began` in Unix seconds, `seconds` how long it took."""

    def call(
        self, request: Request, outcome: Response | BaseException, began: float, seconds: float
    ) -> None: ...


def trace(next: Send, telemetry: Telemetry | None, clock: Clock) -> Send:
    """`telemetry` None: off, and then `next` itself."""
    if telemetry is None:
        return next

    async def send(request: Request) -> Response:
        began, started = clock.now(), time.monotonic()
        try:
            response = await next(request)
        except BaseException as error:
            telemetry.call(request, error, began, time.monotonic() - started)
            raise
        telemetry.call(request, response, began, time.monotonic() - started)
        return response

    return send
