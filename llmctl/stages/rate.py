"""Waits for a turn under the limits that are given, told or found out; holds no money while it waits."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from llmctl.core.errors import LlmctlError, RateLimited
from llmctl.core.model import Request, Response, Send, Target, later

if TYPE_CHECKING:
    from llmctl.resilience.pace import Paces

MOMENT_S = 0.001
"""A turn that was waited for longer than this may be taken too late: what was known before is old."""


def rate(
    next: Send,
    paces: Paces,
    refuse: Callable[[Request], None],
    ready: Callable[[Target], Awaitable[None]],
) -> Send:
    """The time spent waiting for a turn is added to the call's deadline.

    Under a limit a turn is taken by who is `ready` to use it: what is loaded after it would send late, and
    together with those whose turn it is then. `refuse` raises BreakerOpen where the target's breaker has
    opened while the request waited.
    """

    async def send(request: Request) -> Response:
        pace = paces.of(request)
        sent_at = time.monotonic()
        tokens = waited = 0.0
        if pace.free(sent_at):
            pace.window.in_flight += 1
        else:
            if pace.given:
                await ready(request.target)
            tokens = await pace.turn(request)
            waited = time.monotonic() - sent_at
            sent_at += waited
        try:
            if waited > MOMENT_S:
                refuse(request)
                request = later(request, waited)
            response = await next(request)
        except LlmctlError as error:
            error.waited += waited
            if isinstance(error, RateLimited):
                pace.window.refused(sent_at)
            pace.failed(error, tokens)
            raise
        finally:
            pace.window.leave()
        pace.answered(response, tokens, sent_at)
        return response

    return send
