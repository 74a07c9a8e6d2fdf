"""The stage `cascade`: climbs where a check fails, sums what all steps cost, loses no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from llmctl.core.errors import (
    BudgetError,
    EmptyAnswer,
    Interrupted,
    LlmctlError,
    SchemaMismatch,
    ServerError,
    UnsafeAnswer,
)
from llmctl.core.model import Attempt, Request, Response, Step, Target, Usage, replace
from llmctl.stages.cascade import cascade

SMALL, MIDDLE, BIG = (Target(name, f"p/{name}", "p", keys=(f"env:{name}",)) for name in ("s", "m", "b"))
ASKED = Request(
    SMALL,
    ({"role": "user", "content": "hi"},),
    params={"max_tokens": 10},
    climb=(Step(MIDDLE, {"max_tokens": 20}), Step(BIG, {"max_tokens": 30})),
    fingerprint="f" * 64,
    key="env:s",
)
ANSWER = Response("good", "p/x", usage=Usage(10, 5), cost=100, tried=(Attempt("p/x", 0, 1, cost=100),))


def failing(error: LlmctlError, cost: int | None = 100) -> LlmctlError:
    """As the stages below raise it: with its attempt, and what was understood of the answer."""
    error.tried = (Attempt("p/x", 0, 1, cost=cost),) if cost != 0 else ()
    error.response = Response("bad", "p/x", usage=Usage(10, 5))
    return error


def ask(ends: Sequence[Response | BaseException], request: Request = ASKED) -> tuple[Any, list[Request]]:
    """The response or the error, and every request that went down."""
    asked: list[Request] = []

    async def next(request: Request) -> Response:
        asked.append(request)
        end = ends[len(asked) - 1]
        if isinstance(end, BaseException):
            raise end
        if request.on_text is not None:
            request.on_text(end.text)
        return end

    async def go() -> Response:
        return await cascade(next)(request)

    try:
        return asyncio.run(go()), asked
    except LlmctlError as error:
        return error, asked


def test_a_good_answer_ends_it() -> None:
    """The small model is enough most of the time: that is what a cascade is for."""
    response, asked = ask([ANSWER])
    assert response is ANSWER
    assert [request.target for request in asked] == [SMALL]


@pytest.mark.parametrize("error", [SchemaMismatch("x"), EmptyAnswer("x"), UnsafeAnswer("x")])
def test_a_failed_check_climbs(error: LlmctlError) -> None:
    """The next model is asked the same with its own parameters and key, and all is paid once."""
    response, asked = ask([failing(error), ANSWER])
    assert [request.target for request in asked] == [SMALL, MIDDLE]
    assert (asked[1].params, asked[1].key, asked[1].fingerprint) == ({"max_tokens": 20}, "env:m", "")
    assert (response.text, response.cost, response.attempts) == ("good", 200, 2)
    assert response.usage == Usage(20, 10)


def test_a_cut_answer_climbs() -> None:
    """What ended at its token limit is not done."""
    response, asked = ask([replace(ANSWER, finish_reason="length"), ANSWER])
    assert (response.finish_reason, response.cost, len(asked)) == ("stop", 200, 2)


def test_the_last_step_is_final() -> None:
    """Its error says what all of them cost; its cut answer is an answer."""
    error, asked = ask([failing(SchemaMismatch(name)) for name in "smb"])
    assert isinstance(error, SchemaMismatch)
    assert (error.message, len(error.tried), len(asked)) == ("b", 3, 3)
    assert error.response is not None
    assert error.response.cost == 300
    cut = replace(ANSWER, finish_reason="length")
    response, _ = ask([cut, cut, cut])
    assert (response.finish_reason, response.cost) == ("length", 300)


def test_other_failures_do_not_climb() -> None:
    """A provider that is down and a budget that is used up are no judgement of the answer."""
    for error in (ServerError("down"), BudgetError("over")):
        told, asked = ask([failing(error), ANSWER])
        assert told is error
        assert len(asked) == 1


def test_a_cut_answer_is_kept_where_the_next_cannot_be_asked() -> None:
    """It was paid for, and it is better than nothing."""
    response, _ = ask([replace(ANSWER, finish_reason="length"), failing(BudgetError("no money"), cost=0)])
    assert (response.text, response.cost, response.finish_reason) == ("good", 100, "length")
    assert "no money" in response.warnings[0]
    error, _ = ask([replace(ANSWER, finish_reason="length"), Interrupted(2)])
    assert isinstance(error, Interrupted)
    assert error.tried == ANSWER.tried


def test_a_failed_answer_is_not_shown_as_one() -> None:
    """After a failed check there is nothing to fall back on."""
    error, _ = ask([failing(SchemaMismatch("bad")), failing(ServerError("down"), cost=None)])
    assert isinstance(error, ServerError)
    assert [attempt.cost for attempt in error.tried] == [100, None]


def test_text_is_shown_once() -> None:
    """A listener cannot take back what a later step replaces."""
    shown: list[str] = []
    listening = replace(ASKED, on_text=shown.append)
    ask([replace(ANSWER, text="cut", finish_reason="length"), ANSWER], listening)
    assert shown == ["good"]
    shown.clear()
    ask([failing(EmptyAnswer("x")), failing(EmptyAnswer("x")), ANSWER], listening)
    assert shown == ["good"]


def test_without_steps_nothing_happens() -> None:
    """The stage stands in every call's way and must cost nothing."""
    plain = replace(ASKED, climb=())
    _, asked = ask([ANSWER], plain)
    assert asked[0] is plain
