"""The innermost stage: one request to one provider, its trace in the ledger, its price."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from llmctl.core.errors import ConfigError, Interrupted, LlmctlError, StorageError, add_tried
from llmctl.core.model import Attempt, Request, Response, Send, Target, Usage, later, replace
from llmctl.core.money import Nanos
from llmctl.core.ports import Clock, Judge, Ledger, Provider
from llmctl.stages.record import unwritten

Price = Callable[[str, str, Usage, float], Nanos | None]
"""(model that answered, model that was asked, usage, Unix seconds) -> cost; None: no price is known."""
MOMENT_S = 0.001
"""What took no longer is not worth a copy of the request."""


def provider(
    provider_of: Callable[[Target], Awaitable[Provider]],
    secret: Callable[[str], str],
    price: Price,
    judge: Judge,
    ledger: Ledger,
    clock: Clock,
) -> Send:
    """Sends once. The ledger knows of it before a byte leaves, and of its end.

    The time that a provider takes to be made here is added to the call's deadline.
    """

    async def send(request: Request) -> Response:
        key = secret(bound(request)) if request.key is not None else None
        began = time.monotonic()
        via = await provider_of(request.target)
        waited = time.monotonic() - began
        if waited > MOMENT_S:
            request = later(request, waited)
        row = ledger.sent(request)
        started, at = time.monotonic(), clock.now()

        def attempt(outcome: Response | LlmctlError) -> Attempt:
            return _attempt(request, outcome, at, time.monotonic() - started, price)

        try:
            if request.on_sent is not None:
                request.on_sent()
            response = judge.answer(request, await via.send(request, key))
        except LlmctlError as error:
            judge.error(request, error, key)
            error.tried, error.waited = (attempt(error),), waited
            ledger.settled(row, error.tried[0])
            raise
        except BaseException as error:  # cancelled or interrupted: it was sent, so it may be billed
            left = attempt(Interrupted(2, billed="unknown"))
            add_tried(error, (left,))
            ledger.settled(row, left)
            raise
        done = attempt(response)
        response = replace(response, tried=(done,), cost=done.cost)
        try:
            ledger.settled(row, done)
        except StorageError as error:
            return unwritten(response, error)
        return response

    return send


def bound(request: Request) -> str:
    """The reference of the key, which has to be one of those of the target it goes to."""
    assert request.key is not None
    if request.key not in request.target.keys:
        raise ConfigError(
            f"{request.target.model}: {request.key} is not among its keys, and is not sent there"
        )
    return request.key


def _attempt(
    request: Request, outcome: Response | LlmctlError, at: float, latency: float, price: Price
) -> Attempt:
    answer = outcome if isinstance(outcome, Response) else outcome.response
    failed = None if isinstance(outcome, Response) else outcome
    billed = outcome.billed
    cost: Nanos | None = 0 if billed == "no" else None
    estimated = failed is None and request.reserved is None  # under a budget it keeps what it reserved
    if answer is not None and (billed == "yes" or estimated):
        cost = price(answer.model, request.target.model, answer.usage, at)
    return Attempt(
        model=answer.model if answer is not None else request.target.model,
        started=at,
        latency=latency,
        error=failed.type if failed else None,
        status=failed.status if failed else 200,
        billed=billed,
        cost=request.reserved if cost is None else cost,
    )
