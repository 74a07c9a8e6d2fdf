"""The stage that keeps values from leaving."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from llmctl.core.errors import BrokenStream
from llmctl.core.model import Request, Response, Send, Target
from llmctl.core.profile import PrivacyRule
from llmctl.stages.redact import redact

RULE = PrivacyRule(redact=("email", "card", "secret"))
TARGET = Target(name="main", model="openai/test", provider="openai")
MAIL = "bob@example.com"


def run(answer: Awaitable[Response]) -> Response:
    async def wait() -> Response:
        return await answer

    return asyncio.run(wait())


def ask(text: str, **more: Any) -> Request:
    return Request(target=TARGET, messages=({"role": "user", "content": text},), **more)


def below(seen: list[Request], answer: Callable[[Request], Response]) -> Send:
    async def send(request: Request) -> Response:
        seen.append(request)
        return answer(request)

    return send


def test_nothing_below_sees_the_value_and_the_caller_gets_it_back() -> None:
    """The promise itself: every part of the request goes out clean, every part of the answer comes whole."""
    seen: list[Request] = []
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"to": "<EMAIL_1>"}'}}
    response = Response(
        text="to <EMAIL_1>",
        model="m",
        reasoning="hm <EMAIL_1>",
        tool_calls=(call,),
        parsed={"to": ["<EMAIL_1>"]},
        body={"choices": [{"message": {"content": "to <EMAIL_1>", "tool_calls": [call]}}]},
    )
    stage = redact(below(seen, lambda request: response), RULE)
    request = ask(f"write to {MAIL}", params={"user": MAIL}, schema={"description": MAIL})
    got = run(stage(request))
    assert MAIL not in repr(seen)
    assert "<EMAIL_" not in repr(got)
    assert got.text == f"to {MAIL}" and got.parsed == {"to": [MAIL]}
    assert got.tool_calls[0]["function"]["arguments"] == f'{{"to": "{MAIL}"}}'
    assert request.messages[0]["content"] == f"write to {MAIL}"


def test_streamed_text_is_restored_across_chunks() -> None:
    """A reader must never see half a placeholder."""
    shown: list[str] = []

    async def send(request: Request) -> Response:
        assert request.on_text is not None
        for chunk in ("to <EM", "AIL", "_1>!", " <"):
            request.on_text(chunk)
        return Response(text="to <EMAIL_1>! <", model="m")

    got = run(redact(send, RULE)(ask(MAIL, on_text=shown.append)))
    assert "".join(shown) == got.text == f"to {MAIL}! <"
    assert all("EM" not in piece for piece in shown)


def test_json_answers_stay_json() -> None:
    """A restored value with quotes must be escaped where the answer was asked for as JSON."""
    rule = PrivacyRule(patterns={"odd": 'a"b'})
    request = ask('say a"b', params={"response_format": {"type": "json_object"}})
    stage = redact(below([], lambda _: Response(text='{"x": "<ODD_1>"}', model="m")), rule)
    assert run(stage(request)).text == '{"x": "a\\"b"}'


def test_a_broken_answer_is_restored_too() -> None:
    """What was received before a stream broke belongs to the caller, in the caller's words."""
    shown: list[str] = []

    async def send(request: Request) -> Response:
        assert request.on_text is not None
        request.on_text("to <EMAIL_1> and <EMA")
        raise BrokenStream("cut", response=Response(text="to <EMAIL_1> and <EMA", model="m"))

    with pytest.raises(BrokenStream) as caught:
        run(redact(send, RULE)(ask(MAIL, on_text=shown.append)))
    assert caught.value.response is not None
    assert caught.value.response.text == "".join(shown) == f"to {MAIL} and <EMA"


def test_a_rule_that_does_nothing_costs_nothing() -> None:
    """Without redaction the stage is not there at all."""
    send = below([], lambda _: Response(text="", model="m"))
    assert redact(send, PrivacyRule()) is send
    assert redact(send, replace(PrivacyRule(), redact=("email",))) is not send


def test_a_cut_is_said() -> None:
    """A shortened prompt changes the answer, so the caller must hear of it."""
    stage = redact(below([], lambda _: Response(text="ok", model="m")), PrivacyRule(max_chars=5))
    assert run(stage(ask("123456789"))).warnings == (
        "message 1: cut from 9 to 5 characters (privacy.max_chars)",
    )
