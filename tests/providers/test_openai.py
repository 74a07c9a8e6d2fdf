"""OpenAI's format: what goes out, and how anything that may come back is judged."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmctl.core.errors import BadRequest, BrokenAnswer, BrokenStream, LlmctlError, ServerError
from llmctl.core.model import Request, Response, Target, Usage
from llmctl.providers.openai import OpenAICodec, is_strict, response_format

HELLO = ({"role": "user", "content": "hello"},)
USAGE = {"prompt_tokens": 4, "completion_tokens": 2}
NAMES = [
    "choices", "message", "delta", "content", "text", "finish_reason", "usage", "tool_calls", "error",
    "model", "index", "function", "name", "arguments", "reasoning", "reasoning_content", "id",
]  # fmt: skip
BARE = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a", "stop"])
)
JSON = st.recursive(
    BARE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


def target(model: str = "openai/gpt-4o-mini", **more: Any) -> Target:
    return Target("main", model, model.partition("/")[0], more.pop("api_base", "http://h/v1"), **more)


def request(model: str = "openai/gpt-4o-mini", **more: Any) -> Request:
    return Request(target(model), HELLO, **more)


def encoded(asked: Request, key: str | None = None) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(OpenAICodec(asked.target).encode(asked, key).body)
    return body


def decoded(body: Any, asked: Request | None = None) -> Response:
    asked = asked or request()
    return OpenAICodec(asked.target).decode(asked, body if isinstance(body, bytes) else orjson.dumps(body))


def answer(message: Any, **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": "stop"}], "usage": USAGE, **more}


def streamed(*chunks: Any) -> tuple[str, Response]:
    """The shown text and the whole response of a stream."""
    decoder = OpenAICodec(target()).stream(request())
    shown = "".join([decoder.feed(orjson.dumps(chunk)) for chunk in chunks])
    return shown, decoder.finish()


def delta(finish: str | None = None, **parts: Any) -> dict[str, Any]:
    return {"choices": [{"delta": parts, "finish_reason": finish}]}


def test_the_request_is_the_identity() -> None:
    """Parameters go as they are, the key into one header, and a stream asks for its usage."""
    asked = request(params={"temperature": 0.5}, on_text=lambda text: None)
    call = OpenAICodec(asked.target).encode(asked, "made-up")
    assert call.url == "http://h/v1/chat/completions"
    assert call.headers["Authorization"] == "Bearer made-up"
    assert orjson.loads(call.body) == {
        "model": "gpt-4o-mini",
        "messages": [dict(HELLO[0])],
        "temperature": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert "Authorization" not in OpenAICodec(asked.target).encode(request(), None).headers


def test_an_address_with_a_query_keeps_it() -> None:
    """Azure's api-version stands there."""
    base = target(api_base="http://h/openai/?api-version=1")
    assert OpenAICodec(base).url == "http://h/openai/chat/completions?api-version=1"


def test_reasoning_models_take_other_parameters() -> None:
    """They refuse max_tokens and sampling: what nobody asked for is dropped, the rest is refused here."""
    params = {"max_tokens": 9, "temperature": 0.7, "top_p": 1.0}
    defaults = frozenset({"temperature"})
    assert "temperature" not in encoded(request("openai/o3", params=params, defaults=defaults))
    assert encoded(request("openai/o3", params=params, defaults=defaults))["max_completion_tokens"] == 9
    with pytest.raises(BadRequest, match="temperature"):
        encoded(request("openai/gpt-5-mini", params=params))
    assert encoded(request("openai/gpt-5-chat-latest", params=params))["max_tokens"] == 9
    assert encoded(request("groq/o3", params=params))["max_tokens"] == 9


def test_a_schema_is_strict_where_it_can_be() -> None:
    """OpenAI refuses `strict` for a schema that leaves properties open."""
    closed = {
        "title": "a person!",
        "type": "object",
        "properties": {"a": {"type": "object", "properties": {}, "additionalProperties": False}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert response_format(closed)["json_schema"] == {"name": "a_person_", "schema": closed, "strict": True}
    assert not is_strict({**closed, "required": []})
    assert not is_strict({"anyOf": [{**closed, "additionalProperties": True}]})


def test_a_whole_answer() -> None:
    """Text, model, usage, reasoning, tool calls; its JSON only where it is asked for."""
    body = answer({"content": "hi", "reasoning_content": "hm"}, model="gpt-4o-2024")
    found = decoded(body)
    assert (found.text, found.model, found.finish_reason) == ("hi", "openai/gpt-4o-2024", "stop")
    assert (found.reasoning, found.usage, found.billed, found.body) == ("hm", Usage(4, 2), "yes", None)
    assert decoded(body, request(keep_body=True)).body == body
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, {"type": "refusal"}, None]
    assert decoded(answer({"content": parts})).text == "ab"


@pytest.mark.parametrize(
    ("body", "billed"),
    [
        (answer({"content": "hi"}), "yes"),
        (answer({"content": ""}), "yes"),
        (answer({"content": "hi"}, usage=None), "yes"),
        (answer({"content": "hi"}, usage={"prompt_tokens": -1}), "unknown"),
        (answer({"content": "hi"}, usage={"prompt_tokens": 10**15}), "unknown"),
        (answer({"content": None}), "unknown"),
        (answer({"content": None, "tool_calls": [{"id": "x"}]}), "yes"),
    ],
)
def test_what_may_be_billed(body: dict[str, Any], billed: str) -> None:
    """Numbers that cannot be true, or an answer that says nothing, leave the cost open."""
    assert decoded(body).billed == billed


@pytest.mark.parametrize(
    ("body", "billed"),
    [
        (b"", "no"),
        (b"<!doctype html>", "no"),
        (b"null", "no"),
        (b"[]", "no"),
        (b"7", "no"),
        (b"ec\xff\xfeho", "no"),
        (b'{"choices": [{"mess', "unknown"),
        (b"[" * 100_000, "unknown"),
        (b'{"choices": []}', "unknown"),
        (b'{"choices": {}}', "unknown"),
        (b'{"choices": [null]}', "unknown"),
        (b'{"choices": [{"message": null}]}', "unknown"),
        (b'{"choices": [{"message": {"content": "x", "tool_calls": [1]}}]}', "unknown"),
    ],
)
def test_what_is_no_answer(body: bytes, billed: str) -> None:
    """Each is told apart by what it may cost: a page is free, half an answer is not."""
    with pytest.raises(BrokenAnswer) as caught:
        decoded(body)
    assert caught.value.billed == billed and caught.value.retryable


@settings(deadline=None)
@given(JSON)
def test_any_json_is_an_answer_or_an_error_of_ours(body: Any) -> None:
    """A provider's new idea must not be a bug of llmctl's."""
    for sent in (body, {"choices": [body]}, answer(body)):
        try:
            found = decoded(sent)
        except LlmctlError:
            continue
        assert isinstance(found.text, str) and isinstance(found.finish_reason, str)


@settings(deadline=None)
@given(st.lists(JSON, max_size=4))
def test_any_event_is_taken_or_an_error_of_ours(events: list[Any]) -> None:
    """The same for streams, whose pieces are put together."""
    decoder = OpenAICodec(target()).stream(request())
    try:
        for event in events:
            for chunk in (event, {"choices": [event]}, {"choices": [{"delta": event}]}):
                assert isinstance(decoder.feed(orjson.dumps(chunk)), str)
        decoder.finish()
    except LlmctlError:
        pass
    assert isinstance(decoder.partial().text, str)
    assert all(isinstance(call, dict) for call in decoder.partial().tool_calls)


def test_a_stream_is_put_together() -> None:
    """Text, reasoning, tool calls in pieces, the finish reason, the usage after it."""
    shown, whole = streamed(
        delta(role="assistant", content=""),
        delta(reasoning="hm "),
        delta(content="he"),
        delta(content="llo"),
        delta(tool_calls=[{"index": 0, "id": "c1", "function": {"name": "look", "arguments": ""}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"a"'}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ":1}"}}]),
        delta("stop"),
        {"choices": [], "usage": USAGE, "model": "gpt-4o-mini"},
    )
    assert shown == whole.text == "hello"
    assert (whole.reasoning, whole.finish_reason, whole.usage) == ("hm ", "stop", Usage(4, 2))
    assert whole.tool_calls[0]["function"] == {"name": "look", "arguments": '{"a":1}'}
    assert whole.billed == "yes" and whole.model == "openai/gpt-4o-mini"


def test_a_stream_without_finish_reason_is_broken() -> None:
    """litellm would say `stop`, and half an answer would be taken for a whole one."""
    with pytest.raises(BrokenStream) as caught:
        streamed(delta(content="he"))
    partial = caught.value.response
    assert partial is not None and (partial.text, partial.finish_reason) == ("he", "broken")


@pytest.mark.parametrize("event", [b"{", b"[]", b'{"choices": [{"delta": "x"}]}', b'{"choices": 3}'])
def test_a_malformed_event_keeps_what_came_before(event: bytes) -> None:
    """What was paid for is not thrown away."""
    decoder = OpenAICodec(target()).stream(request())
    decoder.feed(orjson.dumps(delta(content="so far")))
    with pytest.raises(BrokenStream) as caught:
        decoder.feed(event)
    assert caught.value.billed == "unknown"
    assert caught.value.response is not None and caught.value.response.text == "so far"


def test_an_error_event_is_an_error_of_its_kind() -> None:
    """Part of the answer may have been made by then."""
    with pytest.raises(ServerError) as caught:
        streamed({"error": {"message": "overloaded", "type": "overloaded_error"}})
    assert caught.value.billed == "unknown"


def tool(arguments: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "look", "arguments": arguments}, **more}


def test_of_several_answers_the_first_is_taken() -> None:
    """A mixture of two would end in `stop`, and the cache would keep it."""
    chunks = [delta(content=text) for text in ("The capital ", "It is ", "is Rome", "Rome.", "")]
    chunks += [delta("stop"), delta("length")]
    for number, chunk in enumerate(chunks):
        chunk["choices"][0]["index"] = number % 2 if number < 4 else number % 5
    shown, whole = streamed(*chunks)
    assert (shown, whole.text, whole.finish_reason) == ("The capital is Rome", shown, "stop")


def test_two_answers_in_one_event() -> None:
    """A chunk may hold a piece of each."""
    pieces = [{"index": n, "delta": {"content": text}} for n, text in ((0, "a"), (1, "b"))]
    turned = {"choices": pieces[::-1]}
    shown, whole = streamed({"choices": pieces}, turned, {"choices": [{"index": 0, "finish_reason": "stop"}]})
    assert (shown, whole.text) == ("aa", "aa")


def test_content_in_parts() -> None:
    """Mistral's thinking models send lists: the text is what the same answer has whole."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    assert (
        streamed(delta(content=[thinking]), delta(content=[{"type": "text", "text": "4"}]), delta("stop"))[0]
        == "4"
    )


def test_tool_calls_without_an_index() -> None:
    """Each new id is a call of its own, and what has none goes on with the last."""
    pieces = [
        tool('{"x":1}', id="a"),
        tool('{"x":', id="b"),
        {"function": {"arguments": "2"}},
        {"id": "b", "index": None, "function": {"arguments": "}"}},
        tool("{}"),
        tool("{}", index=None, id="c"),
    ]
    whole = streamed(*(delta(tool_calls=[piece]) for piece in pieces), delta("tool_calls"))[1]
    assert [call["function"]["arguments"] for call in whole.tool_calls] == ['{"x":1}', '{"x":2}', "{}", "{}"]
    assert [call["id"] for call in whole.tool_calls] == ["a", "b", "", "c"]


def test_tool_calls_of_which_some_have_an_index() -> None:
    """A null beside a number was a bug's exit code, and the answer was lost."""
    pieces = [tool("{}", index=None, id="a"), tool("[]", index=1, id="b")]
    whole = streamed(delta(tool_calls=pieces), delta("tool_calls"))[1]
    assert [call["function"]["arguments"] for call in whole.tool_calls] == ["{}", "[]"]


def halved(text: str, **more: Any) -> bytes:
    return json.dumps(delta(**{"content": text, **more})).encode()


def test_halves_of_signs_are_joined() -> None:
    """A server that streams tokens cuts emojis in two: the answer is paid for, and whole."""
    decoder = OpenAICodec(target()).stream(request())
    pieces = [halved("so \ud83d"), orjson.dumps(delta(content="")), halved("\ude00 and \ud83d"), halved("!")]
    pieces += [
        halved("", reasoning="\ud83d"),
        halved("", reasoning="\ude00"),
        halved("\ud83d", finish="stop"),
    ]
    shown = [decoder.feed(piece) for piece in pieces]
    assert shown == ["so ", "", "\U0001f600 and ", "\\ud83d!", "", "", ""]
    whole = decoder.finish()
    assert whole.text == "".join(shown) + "\\ud83d"
    assert whole.reasoning == "\U0001f600"


def test_half_a_sign_in_a_whole_answer() -> None:
    """It is written out, as in a prompt."""
    body = json.dumps(answer({"content": "\ud83d", "tool_calls": [tool("\ud83d\ude00")]})).encode()
    whole = decoded(body)
    assert (whole.text, whole.tool_calls[0]["function"]["arguments"]) == ("\\ud83d", "\U0001f600")
