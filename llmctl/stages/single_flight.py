"""Identical requests in flight at once are sent once; the others get the same answer, free."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmctl.core.canonical import fingerprint
from llmctl.core.errors import BudgetError, LlmctlError
from llmctl.core.model import Request, Response, Send, replace

if TYPE_CHECKING:
    from asyncio import Future


def single_flight(next: Send) -> Send:
    """Within one event loop. With `cache` off or refresh nothing is shared: the caller wants its own."""
    flights: dict[str, Future[Response] | None] = {}
    """By fingerprint what is in flight; a Future only where somebody waits for it too."""

    async def send(request: Request) -> Response:
        if request.cache != "use":
            return await next(request)
        key = fingerprint(request)
        if key in flights:
            return await follow(key, request)
        flights[key] = None
        try:
            response = await next(request)
        except BaseException as error:  # also when cancelled: whoever waits must wake up
            if flight := flights.pop(key):
                _fail(flight, error)
            raise
        if flight := flights.pop(key):
            flight.set_result(response)
        return response

    async def follow(key: str, request: Request) -> Response:
        import asyncio

        flight = flights[key]
        if flight is None:
            flight = flights[key] = asyncio.get_running_loop().create_future()
        try:
            response = await asyncio.shield(flight)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not flight.cancelled() or (task is not None and task.cancelling()):
                raise  # it is this request that was cancelled, maybe together with its leader
            return await send(request)  # its leader was: somebody else leads now
        except LlmctlError as error:
            if isinstance(error, BudgetError) and "tag" in error.narrow:
                return await send(request)  # the leader's tag has no money left; this one's may have
            raise own(error) from None
        if request.on_text is not None:
            request.on_text(response.text)
        return replace(response, cached="shared", cost=0, saved=response.cost, tried=(), ttft=None)

    return send


def _fail(flight: Future[Response], error: BaseException) -> None:
    if isinstance(error, LlmctlError):
        flight.set_exception(own(error))  # stages above may yet put this caller's values into it
    elif isinstance(error, Exception):
        flight.set_exception(error)
    else:
        flight.cancel()
        return
    flight.exception()  # seen: whoever waits may have been cancelled


def own(error: LlmctlError) -> LlmctlError:
    """The leader's error as a follower's, who tried nothing and pays nothing."""
    copy = type(error).__new__(type(error), *error.args)
    vars(copy).update(vars(error), tried=())
    return copy
