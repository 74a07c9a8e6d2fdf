"""The stage that judges answers."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

import pytest

from llmctl.core.errors import UnsafeAnswer
from llmctl.core.model import Request, Response, Send, Target
from llmctl.core.profile import PrivacyRule
from llmctl.stages.check import check

SECRET = "sk-" + "a1B2c3D4" * 4
REQUEST = Request(Target("main", "openai/test", "openai"), ({"role": "user", "content": "hi"},))


def run(answer: Awaitable[Response]) -> Response:
    async def wait() -> Response:
        return await answer

    return asyncio.run(wait())


def streams(text: str) -> Send:
    async def send(request: Request) -> Response:
        if request.on_text:
            for char in text:
                request.on_text(char)
        return Response(text=text, model="m")

    return send


@pytest.mark.parametrize(("answers", "calls"), [("warn", len(SECRET)), ("mask", 1)])
def test_masked_text_is_held_back_until_judged(answers: str, calls: int) -> None:
    """A secret that was streamed before it was judged has been shown; with `warn` streaming stays live."""
    shown: list[str] = []
    stage = check(streams(SECRET), PrivacyRule(answers=answers))
    got = run(stage(replace(REQUEST, on_text=shown.append)))
    assert len(shown) == calls
    assert "".join(shown) == got.text == (SECRET if answers == "warn" else "[SECRET]")
    assert got.warnings


def test_a_blocked_text_is_never_shown() -> None:
    """`block` means that no piece of the answer reaches the reader."""
    shown: list[str] = []
    with pytest.raises(UnsafeAnswer):
        stage = check(streams(SECRET), PrivacyRule(answers="block"))
        run(stage(replace(REQUEST, on_text=shown.append)))
    assert shown == []


def test_cached_answers_are_judged_too() -> None:
    """The profile may have become stricter since the answer was cached; a hit was not billed again."""

    async def hit(request: Request) -> Response:
        return Response(text=SECRET, model="m", cached="exact")

    with pytest.raises(UnsafeAnswer) as caught:
        run(check(hit, PrivacyRule(answers="block"))(REQUEST))
    assert caught.value.billed == "no"


def test_off_is_no_stage_at_all() -> None:
    """Judging costs nothing where nobody asked for it."""
    send = streams("x")
    assert check(send, PrivacyRule()) is send
