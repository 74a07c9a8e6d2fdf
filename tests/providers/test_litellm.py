"""litellm kept on a short leash: quiet, judged by the provider's own words, not steered by variables."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmctl.core import errors
from llmctl.core.errors import (
    AuthError,
    BadRequest,
    BrokenAnswer,
    BrokenStream,
    CertificateError,
    ConfigError,
    ConnectionFailed,
    ContextTooLong,
    LlmctlError,
    ProviderTimeout,
    QuotaExhausted,
    RateLimited,
    ServerError,
)
from llmctl.core.model import Request, Response, Target, Timeouts, Usage
from llmctl.core.ports import Provider
from llmctl.providers.catalog import HOUSES, House
from llmctl.providers.http import HttpProvider
from llmctl.providers.litellm import LitellmCodec, LitellmSdk, from_litellm, load
from llmctl.providers.litellm.loading import LISTENERS
from llmctl.providers.litellm.params import Params
from llmctl.providers.openai import OpenAICodec
from llmctl.providers.wire import Wire
from tests.server.client import TestServer, refused_url

KEY = "key-" + "k" * 12
ASK = ({"role": "user", "content": "say hello to the world"},)
CLAUDE, GEMINI = "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash"
CODECS = [each for each in HOUSES.values() if each.route == "codec"]
ROOT = Path(__file__).parents[2]


def target(model: str, base: str | None, **more: Any) -> Target:
    provider = model.partition("/")[0]
    return Target(provider, model, provider, api_base=base, **more)


def request(of: Target, stream: bool = False, **more: Any) -> Request:
    made = Request(of, more.pop("messages", ASK), more.pop("params", {"max_tokens": 50}), **more)
    return replace(made, on_text=lambda text: None) if stream else made


def via_codec(of: Target) -> Provider:
    return HttpProvider(Wire(2**20), LitellmCodec(of))


def outcome_of(provider: Provider, asked: Request, key: str | None = KEY) -> Response | LlmctlError:
    async def run() -> Response | LlmctlError:
        try:
            return await provider.send(asked, key)
        except LlmctlError as error:
            return error
        finally:
            await provider.close()

    return asyncio.run(run())


def at(server: TestServer, model: str) -> Target:
    base = {"anthropic": server.anthropic, "gemini": server.gemini}.get(
        model.partition("/")[0], server.openai
    )
    return target(model, base)


def script_of(body: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """A Python process of its own with these variables."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
    command = [sys.executable, "-c", body]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


def test_nothing_is_loaded_until_it_is_needed(tmp_path: Path) -> None:
    """Three seconds of CPU for whoever only wants the names would break every promise of speed."""
    body = "import sys, llmctl.providers.litellm; print('litellm' in sys.modules, 'aiohttp' in sys.modules)"
    assert script_of(body, tmp_path).stdout == "False False\n"


FAILING = """
import asyncio, sys
from llmctl.core.model import Request, Target
from llmctl.providers.litellm import LitellmSdk, load
lite = load()
import logging, os
for model in ("openai/gpt-4o-mini", "azure/x", "bedrock/x", "replicate/x"):
    base = sys.argv[1] if model.startswith("openai") else None
    target = Target("t", model, model.partition("/")[0], api_base=base)
    for stream in (None, lambda text: None):
        try:
            sdk = LitellmSdk(target)
            messages = ({"role": "user", "content": "x"},)
            asyncio.run(sdk.send(Request(target, messages, on_text=stream), "k" * 9))
        except Exception as error:
            assert type(error).__module__ == "llmctl.core.errors", error
        else:
            raise SystemExit("it answered")
assert os.environ.get("OPENAI_API_BASE") is None, "the .env was read"
assert lite.use_litellm_proxy is False and "USE_LITELLM_PROXY" not in os.environ
"""


def test_it_never_speaks_for_itself(tmp_path: Path) -> None:
    """Answers go to stdout: a provider list or a plea for feedback there would break every script."""
    (tmp_path / ".env").write_text("OPENAI_API_BASE=http://127.0.0.1:9/evil\n")
    body = FAILING.replace("sys.argv[1]", repr(refused_url()))
    for name in ("OPENAI_API_BASE", "OPENAI_BASE_URL"):
        os.environ.pop(name, None)
    environ = {"USE_LITELLM_PROXY": "True", "AWS_EC2_METADATA_DISABLED": "true", "LITELLM_LOG": "DEBUG"}
    done = script_of(body, tmp_path, **environ)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def decoys(monkeypatch: pytest.MonkeyPatch, elsewhere: str) -> str:
    """All variables of all houses set to a key and an address that must never be used; the key."""
    wrong = "wrong-" + "w" * 12
    for each in HOUSES.values():
        for name in each.keys:
            monkeypatch.setenv(name, wrong)
        for name in each.bases:
            monkeypatch.setenv(name, elsewhere)
    for name in (
        "LITELLM_PROXY_API_BASE",
        "ANTHROPIC_AUTH_TOKEN",
        "LITELLM_PROXY_API_KEY",
        "LITELLM_API_KEY",
    ):
        monkeypatch.setenv(name, wrong)
    return wrong


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("of", CODECS, ids=lambda of: of.name)
def test_a_codec_asks_only_the_base_and_key_it_was_given(
    of: House, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """litellm looks into the environment for keys and bases: a key for one house must not go to another."""
    wrong = decoys(monkeypatch, "http://127.0.0.1:9/elsewhere")
    for base in ("http://127.0.0.1:7001", None):
        asked = target(f"{of.name}/some-model", base)
        call = LitellmCodec(asked).encode(request(asked, stream), KEY)
        assert call.url.startswith(f"{base or of.base}/")
        told = " ".join((call.url, *call.headers.values(), call.body.decode()))
        assert KEY in " ".join(call.headers.values())
        assert wrong not in told and "elsewhere" not in told


@pytest.mark.parametrize(
    "of", [each for each in HOUSES.values() if each.route == "openai"], ids=lambda of: of.name
)
def test_the_identity_codec_asks_only_the_base_and_key_it_was_given(
    of: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same promise for the houses that litellm is not needed for."""
    wrong = decoys(monkeypatch, "http://127.0.0.1:9/elsewhere")
    base = "http://127.0.0.1:7001/v1"
    asked = target(f"{of.name}/some-model", base)
    call = OpenAICodec(asked).encode(request(asked), KEY)
    assert call.url == f"{base}/chat/completions"
    assert call.headers["Authorization"] == f"Bearer {KEY}"
    assert wrong not in str(call)
    assert "Authorization" not in OpenAICodec(asked).encode(request(asked), None).headers


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini", "mistral/mistral-small-latest", CLAUDE, GEMINI])
@pytest.mark.parametrize("stream", [False, True])
def test_acompletion_asks_only_the_base_and_key_it_was_given(
    model: str, stream: bool, server: TestServer, other_server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """litellm's own call must keep to them too, whatever the environment says."""
    wrong = decoys(monkeypatch, other_server.openai)
    asked = at(server, model)
    assert isinstance(outcome_of(LitellmSdk(asked), request(asked, stream)), Response)
    assert other_server.stats()["requests"] == 0
    headers = json.dumps(server.log()[-1]["headers"])
    assert KEY in headers and wrong not in headers


@pytest.mark.parametrize("way", [via_codec, LitellmSdk])
def test_without_a_key_nothing_is_sent(way: Callable[[Target], Provider], server: TestServer) -> None:
    """A missing key is named here, not by whoever would answer without one."""
    asked = at(server, CLAUDE)
    error = outcome_of(way(asked), request(asked), None)
    assert isinstance(error, AuthError) and "ANTHROPIC_API_KEY" in error.hint
    assert server.stats()["requests"] == 0


def body_of(asked: Target, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(LitellmCodec(asked).encode(request(asked, **more), KEY).body)
    return body


def test_defaults_that_a_model_does_not_take_are_dropped() -> None:
    """Nobody asked for them; a call must not fail for what llmctl added by itself."""
    asked = target(CLAUDE, None)
    defaults = frozenset({"temperature", "top_p", "max_tokens", "frequency_penalty"})
    params = {"temperature": 0.7, "top_p": 1.0, "max_tokens": 4000, "frequency_penalty": 0.5}
    body = body_of(asked, params=params, defaults=defaults)
    assert (body["temperature"], body["max_tokens"]) == (0.7, 4000)
    assert "frequency_penalty" not in body and "top_p" not in body  # it takes one of the two
    assert body_of(asked, params={"max_tokens": 9, "top_p": 0.5})["top_p"] == 0.5


@pytest.mark.parametrize("way", [via_codec, LitellmSdk])
def test_asked_for_and_not_taken_is_said_before_sending(
    way: Callable[[Target], Provider], server: TestServer
) -> None:
    """Silently leaving out what was asked for would give other answers than expected."""
    asked = at(server, CLAUDE)
    error = outcome_of(way(asked), request(asked, params={"max_tokens": 9, "logit_bias": {"1": 1}}))
    assert isinstance(error, BadRequest)
    assert "logit_bias" in error.message and CLAUDE in error.message
    assert server.stats()["requests"] == 0


@pytest.mark.parametrize(
    "name", ["api_base", "api_key", "mock_response", "num_retries", "custom_llm_provider", "model"]
)
def test_parameters_cannot_steer_litellm(name: str, server: TestServer) -> None:
    """A batch row with an `api_base` among its params must not send the key to its author."""
    for way in (via_codec, LitellmSdk):
        asked = at(server, CLAUDE)
        error = outcome_of(way(asked), request(asked, params={"max_tokens": 9, name: "http://127.0.0.1:9"}))
        assert isinstance(error, BadRequest) and name in error.message
    assert server.stats()["requests"] == 0


@pytest.mark.parametrize("model", [CLAUDE, GEMINI])
def test_a_picture_by_its_address_is_refused(model: str) -> None:
    """litellm would fetch it itself: past our limits, and from inside our network."""
    part = {"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}}
    with pytest.raises(BadRequest, match="picture"):
        body_of(target(model, None), messages=({"role": "user", "content": [part]},))


def test_params_of_the_house_pass_through() -> None:
    """`top_k` and the like are no OpenAI parameters, and exactly what their users want."""
    assert body_of(target(CLAUDE, None), params={"max_tokens": 9, "top_k": 5})["top_k"] == 5


@pytest.mark.parametrize("model", [CLAUDE, GEMINI])
def test_a_codec_says_the_same_twice(model: str) -> None:
    """litellm's transformations change what they are given: one row must not leak into the next."""
    tools = [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    ]
    asked = target(model, None)
    codec = LitellmCodec(asked)
    row = request(
        asked, messages=({"role": "system", "content": "s"}, *ASK), params={"max_tokens": 9, "tools": tools}
    )
    other = request(asked, params={"max_tokens": 9})
    first = codec.encode(row, KEY)
    codec.encode(other, KEY)
    assert codec.encode(row, KEY) == first
    assert row.messages[0] == {"role": "system", "content": "s"} and row.params["tools"] == tools


def test_headers_of_the_profile_go_along() -> None:
    """Beta switches and gateways' headers are set in the profile."""
    asked = target(CLAUDE, None, headers={"X-Team": "blue", "Anthropic-Beta": "context-1m-2025-08-07"})
    headers = LitellmCodec(asked).encode(request(asked), KEY).headers
    assert headers["x-team"] == "blue" and "context-1m-2025-08-07" in headers["anthropic-beta"]
    assert headers["x-api-key"] == KEY and headers["user-agent"] == "llmctl"


def test_tool_names_come_back_as_they_were(server: TestServer) -> None:
    """litellm rewrites names that Anthropic refuses; the caller must find his own again."""
    function = {
        "name": "my.weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
    asked = at(server, CLAUDE)
    params = {"max_tokens": 50, "tools": [{"type": "function", "function": function}]}
    for stream in (False, True):
        answer = outcome_of(via_codec(asked), request(asked, stream, params=params))
        assert isinstance(answer, Response), answer
        assert [call["function"]["name"] for call in answer.tool_calls] == ["my.weather"]
        assert server.log()[-1]["body"]["tools"][0]["name"] != "my.weather"


STREAMS: list[tuple[str, type[LlmctlError]]] = [
    ("close_in_stream", BrokenAnswer),
    ("reset_in_stream", BrokenAnswer),
    ("stream_done_without_finish", BrokenStream),
    ("stream_without_finish", BrokenStream),
    ("stream_malformed", BrokenStream),
    ("stream_error:overloaded", ServerError),
    ("stream_error:rate", RateLimited),
]


@pytest.mark.parametrize(("fault", "kind"), STREAMS)
@pytest.mark.parametrize("model", [CLAUDE, GEMINI])
def test_a_broken_stream_is_no_answer(
    model: str, fault: str, kind: type[LlmctlError], server: TestServer
) -> None:
    """Faults 6-10: litellm ends these with an invented `stop`; half an answer would be cached as whole."""
    server.script(default=fault)
    asked = at(server, model)
    error = outcome_of(via_codec(asked), request(asked, stream=True))
    assert isinstance(error, LlmctlError), error
    assert isinstance(error, kind), error
    assert error.billed == "unknown"
    if error.response is not None:
        assert "echo: say hello to the world".startswith(error.response.text)
    assert error.response is not None or kind is BrokenAnswer


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        ("openai/gpt-4o-mini", "stream_done_without_finish"),
        *(
            (model, fault)
            for model in ("openai/gpt-4o-mini", CLAUDE, GEMINI)
            for fault in ("close_in_stream", "stream_error:overloaded")
        ),
    ],
)
def test_acompletions_broken_stream_is_no_answer(model: str, fault: str, server: TestServer) -> None:
    """The same where litellm makes the call: its invented end is found out."""
    server.script(default=fault)
    asked = at(server, model)
    error = outcome_of(LitellmSdk(asked), request(asked, stream=True))
    assert isinstance(error, LlmctlError) and error.exit_code == 5, error
    assert error.billed == "unknown" and error.response is not None


@pytest.mark.parametrize("failure", [BrokenPipeError(32, "Broken pipe"), KeyError("the caller's own")])
def test_a_listeners_failure_is_its_own(failure: Exception, server: TestServer) -> None:
    """A closed pipe is not the provider's: it would be retried, and count against its breaker."""
    asked = at(server, CLAUDE)

    def hear(text: str) -> None:
        raise failure

    for way in (via_codec, LitellmSdk):
        with pytest.raises(type(failure)) as caught:
            outcome_of(way(asked), replace(request(asked), on_text=hear))
        assert caught.value is failure


WHOLES: list[tuple[str, type[LlmctlError]]] = [
    ("html", BrokenAnswer),
    ("cut_json", BrokenAnswer),
    ("empty_body", BrokenAnswer),
    ("null_body", BrokenAnswer),
    ("list_body", BrokenAnswer),
    ("body:{}", BrokenAnswer),
    ('body:{"content": 7, "candidates": 7, "choices": 7}', BrokenAnswer),
    ("error_in_200:overloaded", ServerError),
    ("error_in_200:rate", RateLimited),
    ("error_in_200:key", AuthError),
    ("not_utf8", BrokenAnswer),
    ("reset_in_body", BrokenAnswer),
    ("gzip_broken", BrokenAnswer),
]


@pytest.mark.parametrize(("fault", "kind"), WHOLES)
@pytest.mark.parametrize("model", [CLAUDE, GEMINI])
def test_what_is_no_answer_does_not_pass(
    model: str, fault: str, kind: type[LlmctlError], server: TestServer
) -> None:
    """Faults 14-18 and 30: litellm lets some of these through as an empty answer."""
    server.script(default=fault)
    asked = at(server, model)
    error = outcome_of(via_codec(asked), request(asked))
    assert isinstance(error, kind), error
    assert not isinstance(error, errors.BrokenStream)


@pytest.mark.parametrize("model", [CLAUDE, GEMINI])
@pytest.mark.parametrize("stream", [False, True])
def test_no_choices_is_no_answer(model: str, stream: bool, server: TestServer) -> None:
    """Fault 19: paid for, but nothing in it (Anthropic has no such thing; its content is empty)."""
    server.script(default="choices_empty")
    asked = at(server, model)
    found = outcome_of(via_codec(asked), request(asked, stream=stream))
    if isinstance(found, Response):
        assert found.text == "" and not found.tool_calls  # the pipeline's judge refuses it
    else:
        assert isinstance(found, BrokenAnswer) and found.billed == "unknown"


@pytest.mark.parametrize("fault", ["usage_missing", "usage_negative", "usage_absurd"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [CLAUDE, GEMINI])
def test_usage_that_is_none_is_marked(model: str, stream: bool, fault: str, server: TestServer) -> None:
    """Faults 24, 25: litellm makes zeros and negative costs of these."""
    server.script(default=fault)
    asked = at(server, model)
    answer = outcome_of(via_codec(asked), request(asked, stream=stream))
    assert isinstance(answer, Response), answer
    assert answer.usage == Usage(estimated=True)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [CLAUDE, GEMINI])
def test_all_kinds_of_tokens_are_read(model: str, stream: bool, server: TestServer) -> None:
    """Cached tokens cost a tenth, and reasoning is part of the output: prices depend on both."""
    server.script(default="cached_tokens:2+reasoning_tokens:3+thinking")
    asked = at(server, model)
    answer = outcome_of(via_codec(asked), request(asked, stream=stream))
    assert isinstance(answer, Response), answer
    assert answer.reasoning and "let me see" in answer.reasoning
    assert answer.usage.cached_tokens == 2 and not answer.usage.estimated
    assert answer.usage.input_tokens >= 5 and answer.usage.output_tokens >= 6
    if model == GEMINI:
        assert answer.usage.reasoning_tokens >= 3


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [("finish:length", "length"), ("finish:content_filter", "content_filter"), ("finish_missing", None)],
)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [CLAUDE, GEMINI])
def test_finish_reasons_are_the_providers(
    model: str, stream: bool, fault: str, wanted: str | None, server: TestServer
) -> None:
    """Faults 7, 22, 23: a cut answer must not count as a whole one, and a missing reason is not `stop`."""
    server.script(default=fault)
    asked = at(server, model)
    found = outcome_of(via_codec(asked), request(asked, stream=stream))
    if wanted is None and stream:
        assert isinstance(found, BrokenStream)
        return
    assert isinstance(found, Response), found
    assert found.finish_reason == (wanted or "unknown")


COHERE = "cohere/command-a-03-2025"


def test_coheres_stream_ends_as_cohere_says() -> None:
    """litellm overlooks Cohere's last event, with its finish reason and usage."""
    asked = target(COHERE, None)
    stream = LitellmCodec(asked).stream(request(asked, stream=True))
    start = b'{"type":"message-start","id":"x","delta":{"message":{"role":"assistant"}}}'
    assert stream.feed(start) == ""
    for word in ("hello ", "world"):
        event = {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": word}}}}
        assert stream.feed(json.dumps(event).encode()) == word
    with pytest.raises(BrokenStream) as caught:
        stream.finish()
    assert caught.value.response is not None and caught.value.response.text == "hello world"
    usage = {"billed_units": {"input_tokens": 1}, "tokens": {"input_tokens": 70, "output_tokens": 2}}
    end = {"type": "message-end", "delta": {"finish_reason": "MAX_TOKENS", "usage": usage}}
    assert stream.feed(json.dumps(end).encode()) == ""
    answer = stream.finish()
    assert (answer.text, answer.finish_reason, answer.usage) == ("hello world", "length", Usage(70, 2))


def test_coheres_answer_is_read() -> None:
    """Its finish reason gets lost in litellm's reading of the whole answer too."""
    asked = target(COHERE, None)
    usage = {"tokens": {"input_tokens": 70, "output_tokens": 2}}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    for message, told, wanted in (
        ({"content": [{"type": "text", "text": "hi"}]}, "COMPLETE", ("hi", "stop", 0)),
        ({"content": [{"type": "text", "text": "hi"}]}, "MAX_TOKENS", ("hi", "length", 0)),
        ({"tool_calls": [call]}, "TOOL_CALL", ("", "tool_calls", 1)),
    ):
        body = {"id": "x", "finish_reason": told, "message": {"role": "assistant", **message}, "usage": usage}
        answer = LitellmCodec(asked).decode(request(asked), json.dumps(body).encode())
        assert (answer.text, answer.finish_reason, len(answer.tool_calls)) == wanted
        assert answer.usage == Usage(70, 2)


def test_coheres_tool_calls_are_not_streamed() -> None:
    """litellm misreads them in a stream; in one piece they come out right."""
    tools = [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    ]
    body = body_of(target(COHERE, None), stream=True, params={"tools": tools})
    assert not body.get("stream") and body["tools"]
    assert body_of(target(COHERE, None), stream=True)["stream"] is True


def test_another_model_is_named(server: TestServer) -> None:
    """Fault 26: the one that answered is recorded, and priced."""
    for stream in (False, True):
        server.script(default="model:claude-other-1")
        asked = at(server, CLAUDE)
        answer = outcome_of(via_codec(asked), request(asked, stream=stream))
        assert isinstance(answer, Response) and answer.model == "anthropic/claude-other-1"


@pytest.mark.parametrize("fault", ["status:500", "status:429", "status:503", "reset_before_headers"])
def test_acompletion_sends_once(fault: str, server: TestServer) -> None:
    """litellm would send three requests by itself; retrying (and paying) is the pipeline's decision."""
    for stream in (False, True):
        server.reset()
        server.script(default=fault)
        asked = at(server, "openai/gpt-4o-mini")
        error = outcome_of(LitellmSdk(asked), request(asked, stream=stream))
        assert isinstance(error, LlmctlError) and error.retryable, error
        assert server.stats()["requests"] == 1


def test_acompletion_keeps_the_deadline(server: TestServer) -> None:
    """Fault 13: litellm's own timeout is per read, so a trickle would outlive it."""
    import time

    server.script(default="trickle:0.2")
    asked = replace(at(server, "openai/gpt-4o-mini"), timeouts=Timeouts(total=1.0))
    began = time.monotonic()
    error = outcome_of(LitellmSdk(asked), request(asked))
    assert isinstance(error, ProviderTimeout) and error.billed == "unknown", error
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("stream", [False, True])
def test_acompletions_missing_usage_is_marked(stream: bool, server: TestServer) -> None:
    """litellm counts with a tokenizer of its own and says nothing: that is an estimate."""
    server.script(default="usage_missing")
    asked = at(server, "openai/gpt-4o-mini")
    answer = outcome_of(LitellmSdk(asked), request(asked, stream=stream))
    assert isinstance(answer, Response) and answer.usage == Usage(estimated=True)


def test_the_wait_of_a_429_comes_through(server: TestServer) -> None:
    """Fault 45, also where litellm makes the call."""
    for way in (via_codec, LitellmSdk):
        server.script(default="retry_after:7")
        asked = at(server, CLAUDE)
        error = outcome_of(way(asked), request(asked))
        assert isinstance(error, RateLimited) and error.retry_after == 7


CAUSES: list[tuple[Callable[[], BaseException], type[LlmctlError], str]] = [
    (
        lambda: lite("InternalServerError", cause=ConnectionRefusedError(111, "refused")),
        ConnectionFailed,
        "no",
    ),
    (lambda: lite("InternalServerError", cause=httpx.ConnectError("nope")), ConnectionFailed, "no"),
    (lambda: lite("InternalServerError", cause=httpx.ReadError("gone")), ConnectionFailed, "unknown"),
    (lambda: lite("InternalServerError", cause=httpx.ReadTimeout("slow")), ProviderTimeout, "unknown"),
    (lambda: lite("InternalServerError", cause=httpx.ConnectTimeout("slow")), ProviderTimeout, "no"),
    (lambda: lite("InternalServerError", cause=json.JSONDecodeError("x", "y", 0)), BrokenAnswer, "unknown"),
    (lambda: lite("InternalServerError", text="The api_key client option must be set"), AuthError, "no"),
    (lambda: lite("APIConnectionError", text="CERTIFICATE_VERIFY_FAILED"), CertificateError, "no"),
    (lambda: lite("InternalServerError", text="AnthropicException - Overloaded"), ServerError, "no"),
    (
        lambda: lite("RateLimitError", text='X - {"error": {"code": "insufficient_quota"}}'),
        QuotaExhausted,
        "no",
    ),
    (lambda: lite("BadRequestError", text="prompt is too long: 9 tokens > 8"), ContextTooLong, "no"),
    (
        lambda: lite("APIConnectionError", text="No module named 'google'", cause=ImportError("x")),
        ConfigError,
        "no",
    ),
    (lambda: KeyError("what"), BrokenAnswer, "unknown"),
    (lambda: answered(429, b'{"error": {"message": "slow down"}}'), RateLimited, "no"),
    (lambda: answered(529, b"busy"), ServerError, "no"),
]


def lite(name: str, text: str = "x", cause: BaseException | None = None, **more: Any) -> BaseException:
    """An exception of litellm's, whatever its constructor wants."""
    kind = getattr(load().exceptions, name)
    wanted = inspect.signature(kind.__init__).parameters
    status = 403 if name == "PermissionDeniedError" else 400
    response = httpx.Response(status, request=httpx.Request("POST", "https://litellm.ai"))
    known: Mapping[str, Any] = {
        "message": text,
        "model": "m",
        "llm_provider": "p",
        "response": response,
        "request": response.request,
        "status_code": 500,
        "current_cost": 2.0,
        "max_budget": 1.0,
        "schema": "{}",
        "raw_response": "x",
        "original_exception": None,
        "guardrail_name": "g",
        "entity_type": "e",
        "request_data": {},
        "route_to_model": "m",
        "body": None,
        "failures": [],
        "session_id": "s",
        **more,
    }
    given = {
        name: known[name]
        for name, each in wanted.items()
        if name in known and (each.default is inspect.Parameter.empty or name == "message")
    }
    error = kind(**given)
    assert isinstance(error, BaseException)
    error.__cause__ = cause
    return error


def answered(status: int, body: bytes) -> BaseException:
    """A wrong class over a real answer."""
    response = httpx.Response(status, content=body, request=httpx.Request("POST", "http://127.0.0.1/v1"))
    error = httpx.HTTPStatusError("x", request=response.request, response=response)
    return lite("InternalServerError", cause=error)


@pytest.mark.parametrize(("make", "kind", "billed"), CAUSES, ids=range(len(CAUSES)))
def test_causes_beat_classes(make: Callable[[], BaseException], kind: type[LlmctlError], billed: str) -> None:
    """litellm calls a refused connection, a missing key and cut JSON all `InternalServerError` 500."""
    found = from_litellm(make(), "p/m")
    assert (type(found), found.billed) == (kind, billed), found


def test_every_class_of_litellm_is_translated() -> None:
    """A new class in a new litellm must not reach the user as a traceback."""
    kinds = [
        each
        for each in vars(load().exceptions).values()
        if inspect.isclass(each)
        and issubclass(each, BaseException)
        and each.__module__ == "litellm.exceptions"
    ]
    assert len(kinds) > 20
    told: dict[str, type[LlmctlError]] = {}
    for each in kinds:
        secret = "opensesame"
        error = from_litellm(
            lite(each.__name__, text=f"no {secret}\nThis looks like a bug in LiteLLM"), "p/m", secret
        )
        assert type(error) is not LlmctlError and isinstance(error, LlmctlError)
        assert "p/m" in error.message and "\n" not in error.message
        assert secret not in error.message and "bug in LiteLLM" not in error.message
        told[each.__name__] = type(error)
    wanted = {
        "AuthenticationError": AuthError,
        "PermissionDeniedError": errors.Forbidden,
        "NotFoundError": errors.ModelNotFound,
        "BadRequestError": BadRequest,
        "UnprocessableEntityError": BadRequest,
        "UnsupportedParamsError": BadRequest,
        "ContextWindowExceededError": ContextTooLong,
        "ContentPolicyViolationError": errors.ContentRefused,
        "RateLimitError": RateLimited,
        "PaymentRequiredError": QuotaExhausted,
        "InternalServerError": ServerError,
        "ServiceUnavailableError": ServerError,
        "BadGatewayError": ServerError,
        "Timeout": ProviderTimeout,
        "APIConnectionError": ConnectionFailed,
        "APIResponseValidationError": BrokenAnswer,
    }
    assert {name: told[name] for name in wanted} == wanted


def test_rows_with_the_same_parameters_are_mapped_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mapping takes as long as all that llmctl itself does for a row; other parameters are mapped anew."""
    asked = target(CLAUDE, None)
    params = Params(asked)
    mapped: list[Any] = []
    utils = load().utils
    real = utils.get_optional_params

    def count(**given: Any) -> Any:
        mapped.append(given["max_tokens"])
        return real(**given)

    monkeypatch.setattr(utils, "get_optional_params", count)
    same, other = {"max_tokens": 9}, {"max_tokens": 8}
    made = []
    for each in (same, same, other, other, same):
        _, theirs = params.mapped(request(asked, params=each))
        made.append(theirs["max_tokens"])
        theirs["max_tokens"] = 1  # whoever got it may change it
    assert made == [9, 9, 8, 8, 9]
    assert mapped == [9, 8, 9]


def test_texts_are_kept_from_litellms_listeners(server: TestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another part of the process may have registered one; prompts are none of its business."""
    litellm = load()
    from litellm.integrations.custom_logger import CustomLogger

    told: list[str] = []

    class Listener(CustomLogger):  # type: ignore[misc]  # litellm is not typed
        async def async_log_success_event(self, kwargs: Any, **_: Any) -> None:
            told.append(f"{kwargs.get('messages')} {kwargs.get('standard_logging_object')}")

    monkeypatch.setattr(litellm, "callbacks", [Listener()])
    asked = at(server, "openai/gpt-4o-mini")
    prompt = "a prompt of nobody's business"

    async def go() -> None:
        await LitellmSdk(asked).send(request(asked, messages=({"role": "user", "content": prompt},)), KEY)
        for _ in range(100):
            if told:
                break
            await asyncio.sleep(0.05)

    asyncio.run(go())
    assert told
    assert not any(prompt in each for each in told)
    for name in LISTENERS:
        monkeypatch.setattr(litellm, name, [])
    outcome_of(LitellmSdk(asked), request(asked))
    assert not litellm.turn_off_message_logging


def test_the_model_that_answered_is_named_once(server: TestServer) -> None:
    """litellm gives some models' names back with their provider, which is no part of the name."""
    asked = target("azure_ai/mistral-large", server.openai)
    answer = outcome_of(LitellmSdk(asked), request(asked))
    assert isinstance(answer, Response) and answer.model == "azure_ai/mistral-large"
