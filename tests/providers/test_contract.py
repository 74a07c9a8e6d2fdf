"""Three ways to one answer: the same requests through our codec, litellm as a codec and acompletion.

What the server received has to be the same body, and what comes back the same Response. litellm's
own call is the yardstick: it is what its users already rely on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from llmctl.core.errors import LlmctlError
from llmctl.core.model import Request, Response, Target
from llmctl.core.ports import Provider
from llmctl.providers.http import HttpProvider
from llmctl.providers.litellm import LitellmCodec, LitellmSdk
from llmctl.providers.openai import OpenAICodec
from llmctl.providers.wire import Wire
from tests.server.client import TestServer

KEY = "key-" + "k" * 12
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "of a city", "parameters": PARAMETERS},
}
SCHEMA = {
    "title": "person",
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
USER = {"role": "user", "content": "say hello to the world"}
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "call_00000001",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
        }
    ],
}
TOLD = {"role": "tool", "tool_call_id": "call_00000001", "name": "weather", "content": "sunny"}
LOOK = {
    "role": "user",
    "content": [{"type": "text", "text": "what is this"}, {"type": "image_url", "image_url": {"url": PIXEL}}],
}


@dataclass(frozen=True)
class Case:
    """One request, in OpenAI's words."""

    messages: tuple[Mapping[str, Any], ...]
    params: Mapping[str, Any]
    schema: Mapping[str, Any] | None = None


CASES = {
    "text": Case((USER,), {"max_tokens": 50}),
    "system": Case(({"role": "system", "content": "be brief"}, USER), {"max_tokens": 50, "temperature": 0.3}),
    "stops": Case((USER,), {"max_tokens": 50, "stop": ["END"], "top_p": 0.5}),
    "tools": Case((USER,), {"max_tokens": 50, "tools": [TOOL], "tool_choice": "auto"}),
    "tool result": Case((USER, CALLED, TOLD), {"max_tokens": 50, "tools": [TOOL]}),
    "schema": Case((USER,), {"max_tokens": 50}, SCHEMA),
    "image": Case((LOOK,), {"max_tokens": 50}),
}

MODELS = {
    "openai": "openai/gpt-4o-mini",
    "anthropic": "anthropic/claude-sonnet-4-5",
    "anthropic of old": "anthropic/claude-3-haiku-20240307",
    "gemini": "gemini/gemini-2.5-flash",
    "mistral": "mistral/mistral-small-latest",
    "ollama": "ollama_chat/llama3.2",
}


def base_of(server: TestServer, provider: str, *, plain: bool) -> str:
    """The base as each way wants it; `plain`: of our own codec, which asks Ollama's /v1."""
    if provider.startswith("ollama"):
        return f"{server.ollama}/v1" if plain else server.ollama
    return {"anthropic": server.anthropic, "gemini": server.gemini}.get(provider, server.openai)


def target_of(server: TestServer, model: str, *, plain: bool = False) -> Target:
    provider = model.partition("/")[0]
    return Target(provider, model, provider, api_base=base_of(server, provider, plain=plain))


class OllamaCodec(LitellmCodec):
    """Ollama's own API, which only litellm's configuration speaks: llmctl itself asks Ollama's /v1."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.base = target.api_base


def as_codec(target: Target) -> Provider:
    kind = OllamaCodec if target.provider.startswith("ollama") else LitellmCodec
    return HttpProvider(Wire(2**20), kind(target))


def as_identity(target: Target) -> Provider:
    return HttpProvider(Wire(2**20), OpenAICodec(target))


def ask(
    provider: Provider, target: Target, case: Case, *, stream: bool
) -> tuple[Response | LlmctlError, str]:
    """The outcome of one request, and what the listener heard."""
    heard: list[str] = []
    request = Request(target, case.messages, case.params, schema=case.schema)
    if stream:
        request = replace(request, on_text=heard.append)

    async def run() -> Response | LlmctlError:
        try:
            return await provider.send(request, KEY)
        except LlmctlError as error:
            return error
        finally:
            await provider.close()

    return asyncio.run(run()), "".join(heard)


def sent(server: TestServer) -> tuple[str, dict[str, Any], dict[str, Any], Mapping[str, str]]:
    """Path, query, body and headers of the last request that the server received."""
    asked = (each for each in server.log() if each["method"] == "POST" and each["path"] != "/api/show")
    entry = list(asked)[-1]
    body = entry["body"] if isinstance(entry["body"], dict) else json.loads(entry["body"])
    return entry["path"], entry["query"], body, entry["headers"]


def normal(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body without what makes no difference: an explicit default, options of the stream."""
    kept = {key: value for key, value in body.items() if key != "stream_options"}
    if kept.get("stream") is False:
        del kept["stream"]
    if "messages" in kept:  # litellm leaves out what is null, such as the content beside tool calls
        messages = [
            {key: value for key, value in each.items() if value is not None} for each in kept["messages"]
        ]
        kept["messages"] = messages
    return kept


def heard_of(response: Response) -> dict[str, Any]:
    """What a Response says, without times and what only one way can know."""
    calls = [
        (call["function"]["name"], json.loads(call["function"]["arguments"])) for call in response.tool_calls
    ]
    usage = response.usage
    return {
        "text": response.text,
        "finish_reason": response.finish_reason,
        "usage": (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens),
        "estimated": usage.estimated,
        "tools": calls,
        "reasoning": response.reasoning,
    }


def can(provider: str, case: str, *, stream: bool = False) -> bool:
    """Ollama's own API: an image needs a library that litellm does not bring, streams are no events."""
    return not (provider == "ollama" and (case == "image" or stream))


PAIRS = [
    pytest.param(provider, case, stream, id=f"{provider}-{case}-{'stream' if stream else 'whole'}")
    for provider in MODELS
    for case in CASES
    for stream in (False, True)
    if can(provider, case, stream=stream)
]


@pytest.mark.parametrize(("provider", "case", "stream"), PAIRS)
def test_codec_and_acompletion_are_one(provider: str, case: str, stream: bool, server: TestServer) -> None:
    """litellm driven as a codec has to be litellm: same address, same body, same key, same answer."""
    target = target_of(server, MODELS[provider])
    theirs, _ = ask(LitellmSdk(target), target, CASES[case], stream=stream)
    path, query, body, headers = sent(server)
    ours, heard = ask(as_codec(target), target, CASES[case], stream=stream)
    our_path, our_query, our_body, our_headers = sent(server)
    assert (our_path, our_query) == (path, query)
    assert normal(our_body) == normal(body)
    assert keys_in(our_headers) == keys_in(headers)
    assert isinstance(ours, Response), ours
    assert isinstance(theirs, Response), theirs
    assert heard_of(ours) == heard_of(theirs)
    assert ours.text == (heard if stream else ours.text)


def keys_in(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers by which a provider knows who asks, and Anthropic's switches."""
    wanted = ("authorization", "x-api-key", "x-goog-api-key", "anthropic-version", "anthropic-beta")
    return {name: value for name, value in headers.items() if name in wanted}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("provider", ["openai", "mistral"])
def test_identity_and_litellm_are_one(provider: str, case: str, stream: bool, server: TestServer) -> None:
    """Where the provider speaks OpenAI's format, our own codec must send what litellm would send."""
    target = target_of(server, MODELS[provider])
    theirs, _ = ask(as_codec(target), target, CASES[case], stream=stream)
    path, _, body, headers = sent(server)
    ours, _ = ask(as_identity(target), target, CASES[case], stream=stream)
    our_path, _, our_body, our_headers = sent(server)
    assert our_path == path
    assert normal(our_body) == normal(body)
    assert keys_in(our_headers) == keys_in(headers)
    assert isinstance(ours, Response) and isinstance(theirs, Response)
    assert heard_of(ours) == heard_of(theirs)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("case", CASES)
def test_ollama_by_v1_answers_as_by_its_own_api(case: str, stream: bool, server: TestServer) -> None:
    """Ollama is asked by its /v1: the same answer as litellm gets from its own API, without litellm."""
    plain = target_of(server, MODELS["ollama"], plain=True)
    ours, _ = ask(as_identity(plain), plain, CASES[case], stream=stream)
    assert sent(server)[0] == "/v1/chat/completions"
    assert isinstance(ours, Response), ours
    if can("ollama", case):
        target = target_of(server, MODELS["ollama"])
        theirs, _ = ask(LitellmSdk(target), target, CASES[case], stream=stream)
        assert isinstance(theirs, Response), theirs
        assert heard_of(ours) == heard_of(theirs)


STATUSES = ["400", "401", "403", "404", "429", "500", "503", "529"]
KINDS = [
    "context_too_long",
    "content_policy",
    "key_refused",
    "permission",
    "balance",
    "quota",
    "spend_limit",
    "model_not_found",
    "rate_limited",
    "overloaded",
]
WAYS: Mapping[str, Callable[[Target], Provider]] = {"codec": as_codec, "acompletion": LitellmSdk}


@pytest.mark.parametrize("fault", [*(f"status:{status}" for status in STATUSES), *KINDS])
@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini", "mistral"])
def test_errors_are_one(provider: str, fault: str, server: TestServer) -> None:
    """An error has to be the same kind whichever way it came, after exactly one request."""
    target = target_of(server, MODELS[provider])
    ways = dict(WAYS)
    if provider in ("openai", "mistral"):
        ways["identity"] = as_identity
    found = {}
    for name, way in ways.items():
        server.reset()
        server.script(default=fault)
        outcome, _ = ask(way(target), target, CASES["text"], stream=False)
        assert server.stats()["requests"] == 1
        if isinstance(outcome, Response):  # Gemini tells a refusal in a 200: the pipeline judges it
            assert (provider, fault, outcome.finish_reason) == ("gemini", "content_policy", "content_filter")
            continue
        assert KEY not in outcome.message
        found[name] = (type(outcome), outcome.status)
    assert len(set(found.values())) <= 1, found
