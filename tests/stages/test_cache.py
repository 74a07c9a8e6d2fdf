"""Serving what was paid for before, and keeping only whole answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llmctl.core.errors import ServerError
from llmctl.core.model import Attempt, Request, Response, Send, Target, replace
from llmctl.stages.cache import SHADOW, cache

ATTEMPT = Attempt("openai/m", 0.0, 0.1, cost=5)
ANSWER = Response("hi", "openai/m", tried=(ATTEMPT,), cost=5, ttft=0.2, headers={"x": "y"})


class Store(dict[str, Response]):
    """A cache in memory."""

    def set(self, key: str, response: Response, request: Request | None = None) -> None:
        self[key] = response


def asked(text: str = "hello", **more: Any) -> Request:
    return Request(Target("main", "openai/m", "openai"), ({"role": "user", "content": text},), **more)


class Model:
    """Gives the same answer again and again, and counts."""

    def __init__(self, answer: Response | Exception = ANSWER) -> None:
        self.answer = answer
        self.requests = 0

    async def send(self, request: Request) -> Response:
        self.requests += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def staged(model: Model, store: Store | None, *, keep: bool = True) -> Send:
    return cache(model.send, store, lambda response: keep)


def run(send: Send, request: Request) -> Response:
    async def once() -> Response:
        return await send(request)

    return asyncio.run(once())


def test_what_was_said_of_the_occasion_is_not_stored() -> None:
    """A hit must not tell of another prompt that was near when it was first asked."""
    model = Model(replace(ANSWER, warnings=("kept", f"{SHADOW} (cosine 0.97)")))
    send = staged(model, Store())
    assert len(run(send, asked()).warnings) == 2
    assert run(send, asked()).warnings == ("kept",)


def test_the_second_time_is_free() -> None:
    """No attempt, no cost, and what it had cost is saved; a listener gets the text."""
    model, shown = Model(), list[str]()
    send = staged(model, Store())
    assert run(send, asked()) == ANSWER or model.requests == 1
    hit = run(send, asked(on_text=shown.append))
    assert model.requests == 1 and shown == ["hi"]
    assert (hit.text, hit.cached, hit.cost, hit.saved, hit.attempts) == ("hi", "exact", 0, 5, 0)
    assert (hit.ttft, hit.headers) == (None, {})


def test_another_question_is_asked() -> None:
    """What decides the answer decides the key."""
    model = Model()
    send = staged(model, Store())
    for request in (asked(), asked("other"), asked(params={"temperature": 0.1}), asked(schema={})):
        run(send, request)
    assert model.requests == 4


def test_refresh_asks_and_replaces() -> None:
    """The way out of a bad answer."""
    store, model = Store(), Model()
    run(staged(model, store), asked())
    model.answer = replace(ANSWER, text="better")
    send = staged(model, store)
    assert run(send, asked(cache="refresh")).cached is None
    assert run(send, asked()).text == "better" and model.requests == 2


def test_off_neither_reads_nor_writes() -> None:
    """What is nobody's business is not on disk either."""
    store, model = Store(), Model()
    send = staged(model, store)
    run(send, asked(cache="off"))
    assert not store
    run(send, asked())
    run(send, asked(cache="off"))
    assert model.requests == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"finish_reason": "length"},
        {"finish_reason": "content_filter"},
        {"finish_reason": "unknown"},
        {"finish_reason": "broken"},
        {"text": ""},
        {"cached": "shared"},
    ],
)
def test_what_is_not_whole_is_never_stored(changes: dict[str, Any]) -> None:
    """Half an answer would be served as a whole one for an hour; a shared one its leader has stored."""
    store = Store()
    run(staged(Model(replace(ANSWER, **changes)), store), asked())
    assert not store


@pytest.mark.parametrize("finish", ["stop", "end_turn", "tool_calls"])
def test_whole_answers_are_stored(finish: str) -> None:
    """In every provider's word for it."""
    store = Store()
    run(staged(Model(replace(ANSWER, finish_reason=finish)), store), asked())
    assert len(store) == 1


def test_the_profile_has_its_say() -> None:
    """Too cheap to keep, or unsafe."""
    store = Store()
    run(staged(Model(), store, keep=False), asked())
    assert not store


def test_failures_are_never_stored() -> None:
    """They pass."""
    store, model = Store(), Model(ServerError("down", response=ANSWER))
    send = staged(model, store)
    with pytest.raises(ServerError):
        run(send, asked())
    assert not store


def test_without_a_store_there_is_no_stage() -> None:
    """Nothing to walk through."""
    model = Model()
    assert staged(model, None) == model.send
