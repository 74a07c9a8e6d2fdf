"""The semantic cache: the stored answer of a nearly equal prompt, and never another's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from llmctl.core.canonical import fingerprint
from llmctl.core.model import Attempt, Request, Response, Send, Target, replace
from llmctl.core.profile import SemanticRule
from llmctl.stages.semantic import asked, semantic

ANSWER = Response("hi", "openai/m", tried=(Attempt("openai/m", 0.0, 0.1, cost=5),), cost=5)


class Asked:
    def __init__(self, scope: str, text: str) -> None:
        self.scope, self.text = scope, text

    def encode(self) -> None:
        """Nothing to do: small letters are near each other here."""


class Fake:
    """Prompts are near where they are the same in small letters."""

    def __init__(self) -> None:
        self.keys: dict[tuple[str, str], list[str]] = {}

    def question(self, scope: str, text: str) -> Asked:
        return Asked(scope, text.lower())

    def knows(self, question: Asked) -> bool:
        return any(scope == question.scope for scope, _ in self.keys)

    def find(self, question: Asked) -> Iterator[tuple[str, float]]:
        yield from [(key, 0.97) for key in self.keys.get((question.scope, question.text), [])]

    def add(self, question: Asked, key: str) -> None:
        self.keys.setdefault((question.scope, question.text), []).append(key)

    def forget(self, question: Asked, key: str) -> None:
        self.keys[question.scope, question.text].remove(key)


class House:
    """The stage with its neighbours, over a model that counts; `ask` stores as the cache would."""

    def __init__(self, mode: str = "serve", answer: Response = ANSWER, keep: bool = True) -> None:
        self.store: dict[str, Response] = {}
        self.near = Fake()
        self.sent = 0
        rule = SemanticRule(enabled=True, mode=mode)
        self.answer = answer
        stored: Any = self
        self.stage: Send = semantic(self.send, stored, self.near, rule, lambda response: keep)

    async def send(self, request: Request) -> Response:
        self.sent += 1
        return self.answer

    def get(self, key: str) -> Response | None:
        return self.store.get(key)

    def ask(self, request: Request) -> Response:
        async def once() -> Response:
            return await self.stage(request)

        response = asyncio.run(once())
        if response.cached is None:
            self.store[fingerprint(request)] = response
        return response


def prompt(text: str, **more: Any) -> Request:
    return Request(Target("main", "openai/m", "openai"), ({"role": "user", "content": text},), **more)


def test_a_nearly_equal_prompt_is_free() -> None:
    """No attempt and no cost; a listener hears the text, and the answer says where it is from."""
    house, shown = House(), list[str]()
    assert house.ask(prompt("Hello")).cached is None
    hit = house.ask(prompt("hello", on_text=shown.append))
    assert (hit.cached, hit.cost, hit.saved, hit.tried, house.sent, shown) == (
        "semantic", 0, 5, (), 1, ["hi"],
    )  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        prompt("hello", params={"temperature": 0}),
        prompt("hello", schema={"type": "object"}),
        Request(Target("main", "openai/n", "openai"), ({"role": "user", "content": "hello"},)),
        Request(Target("main", "openai/m", "openai", api_base="http://x"), prompt("hello").messages),
        Request(
            prompt("").target,
            ({"role": "system", "content": "Be kind"}, {"role": "user", "content": "hello"}),
        ),
        prompt("hello", cache="off"),
        prompt("hello", cache="refresh"),
    ],
)
def test_all_else_must_be_the_same(other: Request) -> None:
    """The same words to another model, or with another system text, are another question."""
    house = House()
    house.ask(prompt("Hello"))
    assert house.ask(other).cached is None
    assert house.sent == 2


def test_only_a_last_user_text_is_compared() -> None:
    """Pictures and unfinished turns have no vector here."""
    assert asked(prompt("x")) is not None
    assert asked(prompt(" ")) is None
    assert asked(Request(prompt("").target, ())) is None
    assert asked(Request(prompt("").target, ({"role": "assistant", "content": "x"},))) is None
    image = {"role": "user", "content": [{"type": "text", "text": "x"}]}
    assert asked(Request(prompt("").target, (image,))) is None


def test_in_the_shadow_it_is_only_told() -> None:
    """Whoever thinks of turning it on can look first."""
    house = House(mode="shadow")
    house.ask(prompt("Hello"))
    answer = house.ask(prompt("hello"))
    assert (answer.cached, house.sent) == (None, 2)
    assert "cosine 0.970" in answer.warnings[0]


@pytest.mark.parametrize(
    ("answer", "keep"),
    [(replace(ANSWER, finish_reason="length"), True), (replace(ANSWER, text=""), True), (ANSWER, False)],
)
def test_what_the_cache_does_not_keep_has_no_neighbours(answer: Response, keep: bool) -> None:
    """A truncated, empty or cheap answer is not served to others either."""
    house = House(answer=answer, keep=keep)
    house.ask(prompt("Hello"))
    assert house.near.keys == {}


def test_an_answer_that_is_gone_is_forgotten() -> None:
    """Evicted, expired or cleared: the prompt is asked, and becomes the neighbour in its place."""
    house = House()
    house.ask(prompt("Hello"))
    house.store.clear()
    assert house.ask(prompt("hello")).cached is None
    assert list(house.near.keys.values()) == [[fingerprint(prompt("hello"))]]


def test_turned_off_it_is_not_there() -> None:
    """The usual case costs nothing."""

    async def send(request: Request) -> Response:
        return ANSWER

    store: Any = House()
    assert semantic(send, store, None, SemanticRule(), lambda response: True) is send
    assert semantic(send, None, Fake(), SemanticRule(), lambda response: True) is send
