"""The ledger hears of every call, however it ends."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field

import pytest

from llmctl.core.errors import Interrupted, LlmctlError, ServerError
from llmctl.core.model import Attempt, Request, Response, Send, Target, replace
from llmctl.stages.provider import provider
from llmctl.stages.record import record

REQUEST = Request(Target("main", "openai/m", "openai"), ({"role": "user", "content": "hello"},))


class Clock:
    """The machine's."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass
class Book:
    """A ledger in memory, in the order of events."""

    events: list[tuple[str, object]] = field(default_factory=list)
    calls: list[tuple[Request, Response | LlmctlError, float]] = field(default_factory=list)

    def sent(self, request: Request) -> int:
        self.events.append(("sent", request.call))
        return 7

    def settled(self, row: int, attempt: Attempt) -> None:
        assert row == 7
        self.events.append(("settled", attempt))

    def record(self, request: Request, outcome: Response | LlmctlError, latency: float) -> None:
        self.calls.append((request, outcome, latency))


class Fair:
    """A judge that finds nothing."""

    def answer(self, request: Request, response: Response) -> Response:
        return response

    def error(self, request: Request, error: LlmctlError, key: str | None) -> None:
        error.message = error.message.replace("opensesame", "***")


def pipeline(book: Book, end: Response | BaseException) -> Send:
    """Record and provider, over a provider that ends as told."""

    class Lone:
        async def send(self, request: Request, key: str | None) -> Response:
            assert book.events and book.events[-1][0] == "sent", "the ledger has to know first"
            if isinstance(end, BaseException):
                raise end
            return end

        async def close(self) -> None: ...

    async def opened(target: Target) -> Lone:
        return Lone()

    send = provider(opened, lambda reference: "opensesame", lambda *asked: 9, Fair(), book, Clock())
    return record(send, book, itertools.count(1).__next__)


async def call(send: Send, request: Request = REQUEST) -> Response:
    return await send(request)


def test_an_answer_is_recorded_with_its_price() -> None:
    """The attempt is in the book before a byte leaves, and settled once it has ended."""
    book = Book()
    response = asyncio.run(call(pipeline(book, Response("hi", "openai/m"))))
    (request, outcome, latency), (sent, settled) = book.calls[0], book.events
    assert outcome is response and response.cost == 9 and response.attempts == 1
    assert latency == response.latency >= response.tried[0].latency
    assert sent == ("sent", request.call) and settled == ("settled", response.tried[0])
    assert request.call > 0 and request.fingerprint


@pytest.mark.parametrize(("billed", "cost"), [("no", 0), ("unknown", None), ("yes", 9)])
def test_a_failure_is_recorded_with_what_it_may_cost(billed: str, cost: int | None) -> None:
    """Nothing, an open sum, or what the refused answer used."""
    error = ServerError("opensesame", status=503, billed=billed)  # type: ignore[arg-type]  # one of the three
    error.response = Response("", "openai/m") if billed == "yes" else None
    book = Book()
    with pytest.raises(ServerError):
        asyncio.run(call(pipeline(book, error)))
    (_, outcome, _), (_, settled) = book.calls[0], book.events
    assert outcome is error and error.message == "***"
    (attempt,) = error.tried
    assert settled == ("settled", attempt)
    assert (attempt.error, attempt.status, attempt.billed, attempt.cost) == (
        "server_error",
        503,
        billed,
        cost,
    )


@pytest.mark.parametrize(("reserved", "cost"), [(None, 9), (40, 40)])
def test_an_answer_of_open_price_is_estimated(reserved: int | None, cost: int) -> None:
    """Its usage was refused: our own count, marked as not certain; under a budget all that was reserved."""
    send = pipeline(Book(), Response("hi", "openai/m", billed="unknown"))
    response = asyncio.run(call(send, replace(REQUEST, reserved=reserved)))
    assert (response.tried[0].billed, response.cost) == ("unknown", cost)


@pytest.mark.parametrize("end", [asyncio.CancelledError(), KeyboardInterrupt(), BrokenPipeError()])
def test_what_was_broken_off_may_be_billed(end: BaseException) -> None:
    """It was sent: the ledger has its attempt and an open sum, and the interruption goes on as it is."""
    book = Book()

    async def run() -> None:
        with pytest.raises(type(end)) as caught:
            await pipeline(book, end)(REQUEST)
        assert caught.value is end

    asyncio.run(run())
    (_, outcome, _), (_, settled) = book.calls[0], book.events
    assert isinstance(outcome, Interrupted)
    (attempt,) = outcome.tried
    assert settled == ("settled", attempt)
    assert (attempt.error, attempt.billed, attempt.cost) == ("interrupted", "unknown", None)


def test_what_was_broken_off_before_it_was_sent_cost_nothing() -> None:
    """Waiting in a queue is free."""
    book = Book()

    async def waiting(request: Request) -> Response:
        raise asyncio.CancelledError

    async def run() -> None:
        with pytest.raises(asyncio.CancelledError):
            await record(waiting, book, itertools.count(1).__next__)(REQUEST)

    asyncio.run(run())
    outcome = book.calls[0][1]
    assert isinstance(outcome, Interrupted) and outcome.tried == ()
