"""Each provider's format, as bytes and fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .client import TestServer
from .raw import HEADERS, PATHS, TEXT, Heard, ask, talk
from .schema import example

ECHO = f"echo: {TEXT}"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "weather", "description": "of a city", "parameters": PARAMETERS}
TOOLS: dict[str, Any] = {
    "openai": [{"type": "function", "function": FUNCTION}],
    "anthropic": [{"name": "weather", "input_schema": PARAMETERS}],
    "gemini": [{"functionDeclarations": [FUNCTION]}],
    "ollama": [{"type": "function", "function": FUNCTION}],
}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 18}},
    "required": ["name", "age"],
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "openai": {"response_format": {"type": "json_schema", "json_schema": {"name": "p", "schema": SCHEMA}}},
    "anthropic": {"output_format": {"type": "json_schema", "schema": SCHEMA}},
    "gemini": {"generationConfig": {"responseMimeType": "application/json", "responseSchema": SCHEMA}},
    "ollama": {"format": SCHEMA},
}


def talk_to(server: TestServer, provider: str, *, stream: bool = False, **more: Any) -> Heard:
    """A plain question in the provider's format."""
    path, body = ask(provider, stream=stream, **more)
    return talk(server.port, path, body, HEADERS[provider])


def text_of(provider: str, whole: Any) -> Any:
    """Where each provider puts the text."""
    match provider:
        case "openai":
            return whole["choices"][0]["message"]["content"]
        case "anthropic":
            return whole["content"][0]["text"]
        case "gemini":
            return whole["candidates"][0]["content"]["parts"][0]["text"]
    return whole["message"]["content"]


def test_openai_in_one_piece(server: TestServer) -> None:
    """llmctl reads this format itself, so every field it reads must be there."""
    heard = talk_to(server, "openai")
    whole = heard.json
    assert heard.headers["content-type"] == "application/json"
    assert whole["id"].startswith("chatcmpl-")
    assert (whole["object"], whole["model"]) == ("chat.completion", "some-model")
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": ECHO, "refusal": None}
    assert whole["choices"][0]["finish_reason"] == "stop"
    usage = whole["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (4, 5, 9)


def test_openai_streamed(server: TestServer) -> None:
    """Role, a word a chunk, finish reason, usage with no choices, [DONE]: in this order."""
    heard = talk_to(server, "openai", stream=True)
    assert heard.headers["content-type"] == "text/event-stream"
    assert heard.events[-1] == "[DONE]"
    first, *texts, finish, usage = heard.chunks
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [each["choices"][0]["delta"]["content"] for each in texts] == [
        "echo: ",
        "one ",
        "two ",
        "three ",
        "four",
    ]
    assert (finish["choices"][0]["finish_reason"], finish["usage"]) == ("stop", None)
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 9)


def test_openai_streams_usage_only_when_asked(server: TestServer) -> None:
    """A client that forgets to ask must see none, as with OpenAI itself."""
    heard = talk_to(server, "openai", stream=True, stream_options=None)
    assert not any("usage" in chunk for chunk in heard.chunks)


def test_anthropic_in_one_piece(server: TestServer) -> None:
    """The fields that Anthropic's clients read."""
    whole = talk_to(server, "anthropic", system="be kind").json
    assert (whole["type"], whole["role"], whole["stop_reason"]) == ("message", "assistant", "end_turn")
    assert whole["content"] == [{"type": "text", "text": ECHO}]
    usage = whole["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (6, 5)
    assert (usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]) == (0, 0)


def test_anthropic_counts_cached_tokens_apart(server: TestServer) -> None:
    """Its input_tokens leave the cached ones out, unlike everybody else's: prices depend on it."""
    server.script(default='usage:{"input_tokens":100,"cached_tokens":60,"cache_write_tokens":30}')
    usage = talk_to(server, "anthropic").json["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (10, 60)
    assert usage["cache_creation_input_tokens"] == 30
    assert server.stats()["billed"] == {"input_tokens": 100, "output_tokens": 5}


def test_anthropic_streamed(server: TestServer) -> None:
    """The events come named and in Anthropic's order."""
    server.script(default="thinking:hm hm")
    heard = talk_to(server, "anthropic", stream=True)
    names = [line[7:] for line in heard.body.decode().splitlines() if line.startswith("event: ")]
    deltas = ["content_block_delta"]
    thinking = ["content_block_start", *deltas * 3, "content_block_stop"]
    text = ["content_block_start", *deltas * 5, "content_block_stop"]
    assert names == ["message_start", "ping", *thinking, *text, "message_delta", "message_stop"]
    assert [chunk["type"] for chunk in heard.chunks] == names
    said = [
        each["delta"]["text"] for each in heard.chunks if each.get("delta", {}).get("type") == "text_delta"
    ]
    assert "".join(said) == ECHO
    assert heard.chunks[-2]["delta"]["stop_reason"] == "end_turn"
    assert heard.chunks[-2]["usage"]["output_tokens"] == 7


def test_gemini_in_one_piece(server: TestServer) -> None:
    """The fields that Gemini's clients read."""
    whole = talk_to(server, "gemini").json
    (candidate,) = whole["candidates"]
    assert candidate["content"] == {"parts": [{"text": ECHO}], "role": "model"}
    assert (candidate["finishReason"], whole["modelVersion"]) == ("STOP", "gemini-2.5-flash")
    assert whole["usageMetadata"] == {"promptTokenCount": 4, "candidatesTokenCount": 5, "totalTokenCount": 9}


def test_gemini_streamed(server: TestServer) -> None:
    """A response a word; the last one has the finish reason and the usage, and nothing marks the end."""
    heard = talk_to(server, "gemini", stream=True)
    *texts, last = heard.chunks
    assert "".join(text_of("gemini", each) for each in texts) == ECHO
    assert not any("usageMetadata" in each or "finishReason" in each["candidates"][0] for each in texts)
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert last["usageMetadata"]["totalTokenCount"] == 9
    assert heard.whole


def test_gemini_takes_its_key_in_the_address(server: TestServer) -> None:
    """Older clients send ?key=, and field names in snake case."""
    body = {"contents": [{"parts": [{"inline_data": {"mime_type": "image/png", "data": "AAAA"}}]}]}
    heard = talk(
        server.port, PATHS["gemini"] + "?key=k", body | {"system_instruction": {"parts": [{"text": "a b"}]}}
    )
    assert heard.json["usageMetadata"]["promptTokenCount"] == 2


def test_gemini_tells_a_refused_prompt_in_a_200(server: TestServer) -> None:
    """Content policy has no error status there: who looks at the status alone takes it for success."""
    server.script(default="content_policy")
    heard = talk_to(server, "gemini")
    assert heard.status == 200
    assert heard.json["promptFeedback"] == {"blockReason": "SAFETY"}
    assert "candidates" not in heard.json


def test_ollama_in_one_piece_and_streamed(server: TestServer) -> None:
    """Lines of JSON; the last one is done and has the counts; a stream unless told otherwise."""
    whole = talk_to(server, "ollama").json
    assert (whole["message"], whole["done"]) == ({"role": "assistant", "content": ECHO}, True)
    assert (whole["prompt_eval_count"], whole["eval_count"], whole["done_reason"]) == (4, 5, "stop")
    path, body = ask("ollama")
    del body["stream"]
    heard = talk(server.port, path, body)
    lines = [json.loads(line) for line in heard.body.splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == ECHO
    assert [line["done"] for line in lines] == [False] * 5 + [True]
    assert lines[-1]["eval_count"] == 5


def test_ollama_generate_and_side_requests(server: TestServer) -> None:
    """litellm asks for these addresses around a chat."""
    body = {"model": "m", "prompt": TEXT, "stream": False}
    assert talk(server.port, "/api/generate", body).json["response"] == ECHO
    assert talk(server.port, "/api/show", {"model": "m"}).json["capabilities"]
    assert talk(server.port, "/api/tags").json["models"]
    assert server.stats()["billed"] == {"input_tokens": 4, "output_tokens": 5}


def test_models(server: TestServer) -> None:
    """Checking a key asks for the models, each provider's in its own way."""
    assert talk(server.port, "/v1/models", headers=HEADERS["openai"]).json["object"] == "list"
    assert talk(server.port, "/v1/models", headers=HEADERS["anthropic"]).json["data"][0]["type"] == "model"
    models = talk(server.port, "/v1beta/models", headers=HEADERS["gemini"]).json["models"]
    assert models[0]["name"].startswith("models/")
    assert talk(server.port, "/v1/models").status == 401


@pytest.mark.parametrize("provider", TOOLS)
def test_tools_are_called(provider: str, server: TestServer) -> None:
    """A call with arguments that fit the tool's schema, in one piece and streamed."""
    whole = talk_to(server, provider, tools=TOOLS[provider])
    streamed = talk_to(server, provider, tools=TOOLS[provider], stream=True)
    for heard in (whole, streamed):
        assert b"weather" in heard.body
        assert b"city" in heard.body
        assert b"echo" not in heard.body
    match provider:
        case "openai":
            assert whole.choice["finish_reason"] == "tool_calls"
            (call,) = whole.choice["message"]["tool_calls"]
            assert json.loads(call["function"]["arguments"]) == {"city": "text"}
        case "anthropic":
            assert whole.json["stop_reason"] == "tool_use"
            assert whole.json["content"][0]["input"] == {"city": "text"}
        case "gemini":
            part = whole.json["candidates"][0]["content"]["parts"][0]
            assert part == {"functionCall": {"name": "weather", "args": {"city": "text"}}}
        case "ollama":
            assert whole.json["message"]["tool_calls"][0]["function"]["arguments"] == {"city": "text"}


def test_after_a_tools_result_comes_text(server: TestServer) -> None:
    """A loop over tools must come to an end."""
    _, body = ask(tools=TOOLS["openai"])
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    body["messages"] += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    assert talk(server.port, PATHS["openai"], body, HEADERS["openai"]).text == ECHO


@pytest.mark.parametrize("provider", SCHEMAS)
def test_schemas_are_kept(provider: str, server: TestServer) -> None:
    """Where a schema is asked for, the text is JSON that fits it."""
    whole = talk_to(server, provider, **SCHEMAS[provider]).json
    assert json.loads(text_of(provider, whole)) == {"name": "text", "age": 18}


def test_examples_of_schemas() -> None:
    """References, choices, limits and recursion are what real schemas are made of."""
    node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}
    assert example(node) == {"next": None}
    assert example({"allOf": [{"required": ["a"]}, {"properties": {"a": {"const": 3}}}]}) == {"a": 3}
    assert example({"type": "ARRAY", "items": {"enum": ["x"]}, "minItems": 2}) == ["x", "x"]
    assert example({"type": ["null", "number"], "exclusiveMinimum": 2, "multipleOf": 2}) == 4
    assert example({"type": "string", "minLength": 6, "maxLength": 6}) == "textxx"


@pytest.mark.parametrize(
    ("provider", "status", "error"),
    [
        ("openai", 401, {"type": "invalid_request_error", "code": "invalid_api_key"}),
        ("anthropic", 401, {"type": "authentication_error"}),
        ("gemini", 401, {"code": 401, "status": "UNAUTHENTICATED"}),
    ],
)
def test_no_key(provider: str, status: int, error: dict[str, Any], server: TestServer) -> None:
    """A request without its key is refused in the provider's words, and costs nothing."""
    heard = talk(server.port, *ask(provider))
    assert heard.status == status
    assert error.items() <= heard.error.items()
    assert server.stats()["billed"] == {"input_tokens": 0, "output_tokens": 0}


@pytest.mark.parametrize(
    ("provider", "change", "words"),
    [
        ("openai", {"messages": None}, "messages"),
        ("openai", {"messages": []}, "messages"),
        ("openai", {"messages": [{"role": "robot", "content": "x"}]}, "role"),
        ("openai", {"messages": [{"role": "user", "content": None}]}, "content"),
        ("openai", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "image_url"),
        ("openai", {"model": None}, "model"),
        ("openai", {"temperature": 3}, "temperature"),
        ("openai", {"max_tokens": 0}, "max_tokens"),
        ("openai", {"stream_options": {"include_usage": True}}, "stream_options"),
        ("openai", {"model": "o3-mini", "max_tokens": 9}, "max_completion_tokens"),
        ("openai", {"model": "gpt-5-mini", "temperature": 0}, "temperature"),
        ("openai", {"response_format": {"type": "json_schema"}}, "json_schema"),
        ("openai", {"tools": [{"name": "f"}]}, "tools"),
        ("anthropic", {"max_tokens": None}, "max_tokens"),
        ("anthropic", {"top_logprobs": 1}, "top_logprobs: Extra inputs"),
        ("anthropic", {"messages": [{"role": "system", "content": "x"}]}, "role"),
        ("anthropic", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "image_url"),
        ("anthropic", {"temperature": 1.5}, "temperature"),
        ("gemini", {"contents": []}, "contents"),
        ("gemini", {"messages": []}, "messages"),
        ("gemini", {"contents": [{"parts": [{}]}]}, "parts"),
        ("gemini", {"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "role"),
        ("ollama", {"model": ""}, "model"),
        ("ollama", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "content"),
    ],
)
def test_wrong_requests_are_refused(
    provider: str, change: dict[str, Any], words: str, server: TestServer
) -> None:
    """A server that takes anything would let a wrong request pass every test."""
    heard = talk_to(server, provider, **change)
    assert heard.status == 400
    message = heard.error if provider == "ollama" else heard.error["message"]
    assert words in message


def test_anthropic_wants_its_version(server: TestServer) -> None:
    """The header is easily forgotten, and the provider does not forgive it."""
    heard = talk(server.port, *ask("anthropic"), {"x-api-key": "k"})
    assert (heard.status, heard.error["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("provider", "spec", "status", "name"),
    [
        ("anthropic", "overloaded", 529, "overloaded_error"),
        ("anthropic", "quota", 400, "invalid_request_error"),
        ("anthropic", "status:413", 413, "request_too_large"),
        ("gemini", "key_refused", 400, "API_KEY_INVALID"),
        ("gemini", "rate_limited", 429, "RESOURCE_EXHAUSTED"),
        ("gemini", "overloaded", 503, "UNAVAILABLE"),
        ("ollama", "model_not_found", 404, "try pulling it first"),
    ],
)
def test_errors_in_each_providers_words(
    provider: str, spec: str, status: int, name: str, server: TestServer
) -> None:
    """The same trouble has another status and another name in each house."""
    server.script(default=spec)
    heard = talk_to(server, provider)
    assert heard.status == status
    assert name in heard.body.decode()
