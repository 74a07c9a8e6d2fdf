"""Chooses each attempt's key out of the target's pool, and goes on with the next where one is refused."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from llmctl.core.errors import LlmctlError, RateLimited, add_tried
from llmctl.core.model import Attempt, Request, Response, Send, replace
from llmctl.core.ports import Clock

if TYPE_CHECKING:
    from llmctl.resilience.pool import Key, Pool, Pools


def keys(next: Send, pools: Pools | None, clock: Clock) -> Send:
    """`next` itself where no pool has two keys, and no model a stand-in.

    A key that is refused or used up is set aside and the next one asked, each once; one that is
    rate-limited cools, and the retry goes on with another. While all cool, the request waits. A sole
    key that is refused is not sent again where another model answers in its place.
    """
    if pools is None:
        return next

    async def send(request: Request) -> Response:
        if not request.target.keys or (len(request.target.keys) < 2 and not request.stand_in):
            return await next(request)
        pool = pools.of(request.target)
        tried: tuple[Attempt, ...] = ()
        while True:
            try:
                response = await _with_one(next, request, pool, clock)
            except _NextKey as passed:
                tried += passed.error.tried
            except BaseException as error:  # whatever ends the call: what was tried before is told with it
                add_tried(error, tried)
                raise
            else:
                return replace(response, tried=tried + response.tried) if tried else response

    return send


class _NextKey(Exception):
    """The key was refused, and nothing of an answer has been shown."""

    def __init__(self, error: LlmctlError) -> None:
        super().__init__()
        self.error = error


async def _with_one(next: Send, request: Request, pool: Pool, clock: Clock) -> Response:
    key = await _choose(request, pool, clock)
    try:
        response = await next(replace(request, key=key.reference))
    except LlmctlError as error:
        if pool.ended(key, error) and not (error.response and error.response.text):
            raise _NextKey(error) from None
        raise
    finally:
        key.in_flight -= 1
    pool.went_well(key)
    return response


async def _choose(request: Request, pool: Pool, clock: Clock) -> Key:
    """The least used key; waits where all are cooling, as far as the deadline allows."""
    while isinstance(found := pool.choose(), float):
        left = 0.0 if request.deadline is None else request.deadline - time.monotonic()
        if found >= left:
            raise RateLimited(f"{request.target.model}: all of its keys are cooling", retry_after=found)
        await clock.sleep(found)
    return found
