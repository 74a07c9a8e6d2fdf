"""Identical requests at once: one goes out, all get its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from llmctl.core.errors import BudgetError, Interrupted, LlmctlError, ServerError
from llmctl.core.model import Attempt, Request, Response, Send, Target
from llmctl.stages.single_flight import own, single_flight

TARGET = Target("main", "openai/m", "openai")
ATTEMPT = Attempt("openai/m", 0.0, 0.1, cost=5)


def asked(text: str = "hello", **more: Any) -> Request:
    return Request(TARGET, ({"role": "user", "content": text},), **more)


class Model:
    """Answers when it is let; `fails` are the errors of the first requests."""

    def __init__(self, *fails: BaseException) -> None:
        self.requests = 0
        self.fails = list(fails)
        self.let = asyncio.Event()

    async def send(self, request: Request) -> Response:
        self.requests += 1
        number = self.requests
        await self.let.wait()
        if self.fails:
            raise self.fails.pop(0)
        if request.on_text is not None:
            request.on_text(f"answer {number}")
        return Response(f"answer {number}", "openai/m", tried=(ATTEMPT,), cost=5, ttft=0.1)


def together(model_of: Callable[[], Model], work: Callable[[Model, Send], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        model = model_of()
        return await work(model, single_flight(model.send))

    return asyncio.run(run())


async def started(send: Send, *requests: Request) -> list[asyncio.Task[Response]]:
    """All of them on their way."""
    tasks = [asyncio.ensure_future(send(request)) for request in requests]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


def test_identical_requests_are_sent_once() -> None:
    """The followers' answer is free, and says so; each listener gets the text."""
    shown: list[str] = []

    async def work(model: Model, send: Send) -> None:
        tasks = await started(send, asked(), asked(), asked("other"), asked(on_text=shown.append))
        model.let.set()
        first, second, other, fourth = await asyncio.gather(*tasks)
        assert model.requests == 2
        assert (first.cost, first.cached, first.attempts) == (5, None, 1)
        for follower in (second, fourth):
            assert (follower.cost, follower.saved, follower.cached, follower.attempts) == (0, 5, "shared", 0)
        assert (first.text, other.text, shown) == ("answer 1", "answer 2", ["answer 1"])

    together(Model, work)


@pytest.mark.parametrize("mode", ["off", "refresh"])
def test_who_wants_an_answer_of_its_own_gets_one(mode: Any) -> None:
    """--no-cache and --refresh share nothing."""

    async def work(model: Model, send: Send) -> None:
        model.let.set()
        await asyncio.gather(*await started(send, asked(cache=mode), asked(cache=mode), asked()))
        assert model.requests == 3

    together(Model, work)


def test_one_after_the_other_are_two() -> None:
    """Keeping answers is the cache's work."""

    async def work(model: Model, send: Send) -> None:
        model.let.set()
        await send(asked())
        await send(asked())
        assert model.requests == 2

    together(Model, work)


def test_an_error_is_shared_but_paid_once() -> None:
    """Each has its own error: the ledger must not count the leader's attempts for all."""
    error = ServerError("down", status=503)
    error.tried = (ATTEMPT,)

    async def work(model: Model, send: Send) -> None:
        tasks = await started(send, asked(), asked(), asked())
        model.let.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert found[0] is error and model.requests == 1
        for follower in found[1:]:
            assert type(follower) is ServerError and follower is not error
            assert (follower.message, follower.status, follower.tried) == ("down", 503, ())

    together(lambda: Model(error), work)


def test_a_tag_without_money_refuses_no_other_tag() -> None:
    """A tag is no part of what makes two requests the same: who follows asks for itself."""
    error = BudgetError("the tag's money is gone")
    error.narrow = frozenset({"tag"})

    async def work(model: Model, send: Send) -> None:
        tasks = await started(send, asked(tag="poor"), asked(tag="rich"))
        model.let.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert found[0] is error and model.requests == 2
        assert isinstance(found[1], Response) and found[1].text == "answer 2"

    together(lambda: Model(error), work)


def test_what_the_leader_does_to_its_error_stays_its_own() -> None:
    """Redaction puts each caller's own values back: they must not get into another's error."""
    error = ServerError("down", response=Response("to <NAME_1>", "openai/m"))

    async def work(model: Model, send: Send) -> None:
        async def restoring() -> Response:
            try:
                return await send(asked())
            except LlmctlError as caught:
                caught.response = Response("to Ada", "openai/m")
                raise

        leader = asyncio.ensure_future(restoring())
        (follower,) = await started(send, asked())
        model.let.set()
        _, told = await asyncio.gather(leader, follower, return_exceptions=True)
        assert error.response is not None and error.response.text == "to Ada"
        assert isinstance(told, LlmctlError) and told.response is not None
        assert told.response.text == "to <NAME_1>"

    together(lambda: Model(error), work)


def test_when_the_leader_is_cancelled_another_leads() -> None:
    """The others still want their answer; whoever leads now sends once for all."""

    async def work(model: Model, send: Send) -> None:
        tasks = await started(send, asked(), asked(), asked())
        tasks[0].cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        model.let.set()
        second, third = await asyncio.gather(*tasks[1:])
        assert tasks[0].cancelled()
        assert second.text == third.text == "answer 2" and model.requests == 2
        assert {second.cached, third.cached} == {None, "shared"}

    together(Model, work)


def test_who_is_cancelled_with_the_leader_does_not_lead() -> None:
    """A second Ctrl-C or a time limit ends all of them: nobody is left to pay a new request for."""

    async def work(model: Model, send: Send) -> None:
        tasks = await started(send, asked(), asked(), asked())
        model.let.set()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=5)
        assert [task.cancelled() for task in tasks] == [True] * 3 and model.requests == 1

    together(Model, work)


def test_a_time_limit_ends_each_that_it_was_set_for() -> None:
    """The limit takes its cancelling back only once it has come out of the stage."""

    async def work(model: Model, send: Send) -> None:
        async def limited() -> Response:
            async with asyncio.timeout(0.01):
                return await send(asked())

        asyncio.get_running_loop().call_later(1, model.let.set)
        found = await asyncio.gather(limited(), limited(), return_exceptions=True)
        assert [type(each) for each in found] == [TimeoutError] * 2 and model.requests == 1

    together(Model, work)


def test_a_cancelled_follower_leaves_the_others_alone() -> None:
    """One row given up is no reason to lose the answer that all the rest wait for."""

    async def work(model: Model, send: Send) -> None:
        tasks = await started(send, asked(), asked(), asked())
        tasks[1].cancel()
        await asyncio.sleep(0)
        model.let.set()
        first, third = await asyncio.gather(tasks[0], tasks[2])
        assert first.text == third.text == "answer 1" and model.requests == 1
        assert tasks[1].cancelled()

    together(Model, work)


def test_a_failure_does_not_stay() -> None:
    """The next one tries anew."""

    async def work(model: Model, send: Send) -> None:
        model.let.set()
        with pytest.raises(ServerError):
            await send(asked())
        assert (await send(asked())).text == "answer 2"

    together(lambda: Model(ServerError("once")), work)


def test_errors_of_any_form_can_be_copied() -> None:
    """Some take other arguments than a message."""
    copy = own(Interrupted(15, "stopped", billed="unknown"))
    assert isinstance(copy, Interrupted)
    assert (copy.exit_code, copy.message, str(copy), copy.billed) == (143, "stopped", "stopped", "unknown")
