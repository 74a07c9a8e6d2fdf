"""OpenAI's chat completions, as spoken by mistral, groq, vLLM, Ollama's /v1 and many others too."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import orjson

from ..answer import (
    CONTEXT_ASKED,
    CONTEXT_LIMIT,
    Answer,
    Ask,
    Event,
    Failure,
    Json,
    Kind,
    Refused,
    ToolCall,
    last_text,
    pieces,
    require,
    words,
)
from ..request import Request
from ..schema import example
from .openai_check import check

STREAM_TYPE = "text/event-stream"

DEPLOYMENT = re.compile(r"/deployments/([^/]+)/")

# kind -> status, type, code, message
ERRORS: dict[Kind, tuple[int, str, str | None, str]] = {
    "bad": (400, "invalid_request_error", None, "The request is malformed."),
    "key": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "permission": (403, "invalid_request_error", "permission_denied", "This key may not use this resource."),
    "balance": (402, "insufficient_balance", "insufficient_balance", "Insufficient balance."),
    "quota": (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
    "spend": (
        429,
        "insufficient_quota",
        "billing_hard_limit_reached",
        "Billing hard limit has been reached.",
    ),
    "model": (404, "invalid_request_error", "model_not_found", "The model `{model}` does not exist."),
    "context": (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        f"This model's maximum context length is {CONTEXT_LIMIT} tokens. However, your messages resulted in "
        f"{CONTEXT_ASKED} tokens.",
    ),
    "policy": (400, "invalid_request_error", "content_policy_violation", "Rejected by the safety system."),
    "rate": (429, "requests", "rate_limit_exceeded", "Rate limit reached for `{model}`."),
    "overloaded": (503, "server_error", "overloaded", "The engine is currently overloaded."),
    "server": (500, "server_error", None, "The server had an error while processing your request."),
}


def matches(request: Request) -> bool:
    """Any prefix is fine: every house has its own."""
    return request.path.endswith(("/chat/completions", "/models"))


def read(request: Request) -> Ask:
    """The request checked."""
    key = _key(request)
    if request.path.endswith("/models"):
        require(request.method == "GET", "Only GET is supported here.", status=405)
        return Ask(key=key, fixed=_models())
    require(matches(request), f"Invalid URL ({request.method} {request.path})", status=404)
    require(request.method == "POST", "Only POST is supported here.", status=405)
    body = request.json_object()
    model = _model(request, body)
    check(body, model)
    messages = body["messages"]
    return Ask(
        model=model,
        text=last_text(_text(message) for message in messages if message["role"] == "user"),
        prompt_tokens=sum(words(_text(message)) for message in messages),
        stream=bool(body.get("stream")),
        key=key,
        tool=_tool(body) if messages[-1]["role"] == "user" else None,
        schema=_schema(body.get("response_format") or {}),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )


def body(ask: Ask, answer: Answer) -> Json:
    """A `chat.completion`."""
    message: Json = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.tool_calls:
        message["tool_calls"] = [_call(call) for call in answer.tool_calls]
    if answer.thinking:
        message["reasoning_content"] = answer.thinking
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}
    whole = _envelope(answer, "chat.completion") | {"choices": [choice] if answer.choices else []}
    usage = _usage(answer)
    return whole if usage is None else whole | {"usage": usage}


def events(ask: Ask, answer: Answer) -> list[Event]:
    """`chat.completion.chunk`s: role, words, finish reason, usage where asked for, `[DONE]`."""
    envelope = _envelope(answer, "chat.completion.chunk")
    usage = _usage(answer)
    asked = ask.include_usage and usage is not None and not answer.usage_with_finish
    if ask.include_usage:
        envelope["usage"] = None

    def chunk(delta: Json, finish: str | None = None) -> Json:
        return envelope | {
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        }

    made = []
    if answer.choices:
        first = chunk({"role": "assistant", "content": None if answer.text is None else ""})
        made.append(Event(frame(first), "start"))
        made += [Event(frame(chunk(delta))) for delta in _deltas(answer)]
    if answer.choices and answer.finish is not None:
        told = {"usage": usage} if answer.usage_with_finish and usage is not None else {}
        made.append(Event(frame(chunk({}, answer.finish) | told), "finish"))
    if asked:
        made.append(Event(frame(envelope | {"choices": [], "usage": usage}), "usage"))
    return [*made, Event(b"data: [DONE]\n\n", "end")]


def error(ask: Ask, failure: Failure) -> tuple[int, Json]:
    """`{"error": {message, type, param, code}}`"""
    kind = failure.kind or _kind(failure.status)
    status, type_, code, message = ERRORS[kind]
    message = failure.message or message.format(model=ask.model)
    told = {"message": message, "type": type_, "param": failure.param, "code": code}
    return (status if failure.kind else failure.status), {"error": told}


def frame(body: Json) -> bytes:
    """A server-sent event."""
    return b"data: %b\n\n" % orjson.dumps(body)


def _kind(status: int) -> Kind:
    by_status: dict[int, Kind] = {
        401: "key",
        402: "balance",
        403: "permission",
        429: "rate",
        503: "overloaded",
    }
    return by_status.get(status, "server" if status >= 500 else "bad")


def _key(request: Request) -> str:
    key = request.bearer() or request.headers.get("api-key", "")
    if not key:
        raise Refused(Failure(401, "key", "You didn't provide an API key in an Authorization header."))
    return key


def _model(request: Request, body: Json) -> str:
    deployment = DEPLOYMENT.search(request.path)
    model = body.get("model") or (deployment and deployment[1])
    require(isinstance(model, str) and model, "You must provide a model parameter.", "model")
    return str(model)


def _text(message: Json) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part["type"] == "text")


def _tool(body: Json) -> ToolCall | None:
    tools, choice = body.get("tools"), body.get("tool_choice")
    if not tools or choice == "none":
        return None
    wanted = choice["function"]["name"] if isinstance(choice, dict) else tools[0]["function"]["name"]
    function = next((tool["function"] for tool in tools if tool["function"]["name"] == wanted), None)
    require(function, f"Tool choice '{wanted}' is not among 'tools'.", "tool_choice")
    arguments = example(function.get("parameters") or {"type": "object"}) if function else {}
    return ToolCall(wanted, orjson.dumps(arguments).decode())


def _schema(wanted: Json) -> Json | None:
    if wanted.get("type") == "json_schema":
        schema: Json = wanted["json_schema"]["schema"]
        return schema
    return {} if wanted.get("type") == "json_object" else None


def _models() -> Json:
    names = ("gpt-4o-mini", "gpt-4.1")
    listed = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "test"} for name in names]
    return {"object": "list", "data": listed}


def _envelope(answer: Answer, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{answer.id}",
        "object": kind,
        "created": int(time.time()),
        "model": answer.model,
        "service_tier": answer.service,
        "system_fingerprint": "fp_test",
    }


def _call(call: ToolCall) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _deltas(answer: Answer) -> Iterator[Json]:
    yield from ({"reasoning_content": piece} for piece in pieces(answer.thinking))
    yield from ({"content": piece} for piece in pieces(answer.text or ""))
    for index, call in enumerate(answer.tool_calls):
        yield {"tool_calls": [{"index": index, **_call(ToolCall(call.name, "", call.id))}]}
        yield {"tool_calls": [{"index": index, "function": {"arguments": call.arguments}}]}


def _usage(answer: Answer) -> Json | None:
    if answer.raw_usage is not None or answer.usage is None:
        return answer.raw_usage
    usage = answer.usage
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": 0},
    }
