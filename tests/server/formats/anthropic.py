"""Anthropic's messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
    Usage,
    last_text,
    pieces,
    require,
    words,
)
from ..request import Request
from ..schema import example
from .anthropic_check import check

STREAM_TYPE = "text/event-stream"

FINISH = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}

# kind -> status, type, message
ERRORS: dict[Kind, tuple[int, str, str]] = {
    "bad": (400, "invalid_request_error", "The request is malformed."),
    "key": (401, "authentication_error", "invalid x-api-key"),
    "permission": (
        403,
        "permission_error",
        "Your API key does not have permission to use the specified resource.",
    ),
    "balance": (402, "billing_error", "There is an issue with your billing."),
    "quota": (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
    "spend": (400, "invalid_request_error", "You have reached your specified API usage limits."),
    "model": (404, "not_found_error", "model: {model}"),
    "context": (
        400,
        "invalid_request_error",
        f"prompt is too long: {CONTEXT_ASKED} tokens > {CONTEXT_LIMIT} maximum",
    ),
    "policy": (400, "invalid_request_error", "Output blocked by content filtering policy"),
    "rate": (429, "rate_limit_error", "This request would exceed your rate limit."),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "server": (500, "api_error", "Internal server error"),
}
TYPES = {413: "request_too_large", 504: "timeout_error", 529: "overloaded_error"}


def matches(request: Request) -> bool:
    """`/v1/messages`, and the list of models asked for in Anthropic's way."""
    if request.path.endswith("/models"):
        return "anthropic-version" in request.headers
    return request.path.endswith("/messages")


def read(request: Request) -> Ask:
    """The request checked."""
    key = request.headers.get("x-api-key") or request.bearer()
    if not key:
        raise Refused(Failure(401, "key", "x-api-key header is required"))
    require("anthropic-version" in request.headers, "anthropic-version: header is required")
    if request.path.endswith("/models"):
        require(request.method == "GET", "Method Not Allowed", status=405)
        return Ask(key=key, fixed=_models())
    require(request.method == "POST", "Method Not Allowed", status=405)
    body = request.json_object()
    check(body)
    messages = body["messages"]
    return Ask(
        model=body["model"],
        text=last_text(_text(each["content"]) for each in messages if each["role"] == "user"),
        prompt_tokens=words(_text(body.get("system")))
        + sum(words(_text(each["content"])) for each in messages),
        stream=bool(body.get("stream")),
        key=key,
        tool=_tool(body, messages[-1]),
        schema=_schema(body),
    )


def body(ask: Ask, answer: Answer) -> Json:
    """A `message`."""
    message = _message(answer) | {
        "content": list(_blocks(answer)) if answer.choices else [],
        "stop_reason": _finish(answer),
    }
    usage = _usage(answer)
    return message if usage is None else message | {"usage": usage}


def events(ask: Ask, answer: Answer) -> list[Event]:
    """message_start, a start, deltas and a stop for each block, message_delta, message_stop."""
    usage = _usage(answer)
    first = usage if answer.raw_usage is not None or usage is None else usage | {"output_tokens": 1}
    start = _message(answer) | {"content": [], "stop_reason": None} | ({"usage": first} if first else {})
    made = [_event("message_start", "start", message=start), _event("ping", "start")]
    for index, block in enumerate(_blocks(answer) if answer.choices else ()):
        empty, deltas = _streamed(block)
        made.append(_event("content_block_start", "start", index=index, content_block=empty))
        made += [_event("content_block_delta", "text", index=index, delta=delta) for delta in deltas]
        made.append(_event("content_block_stop", "start", index=index))
    finish: Json = {"delta": {"stop_reason": _finish(answer), "stop_sequence": None}}
    made.append(_event("message_delta", "finish", **finish, **({"usage": usage} if usage else {})))
    return [*made, _event("message_stop", "end")]


def error(ask: Ask, failure: Failure) -> tuple[int, Json]:
    """`{"type": "error", "error": {type, message}}`"""
    kind = failure.kind or _kind(failure.status)
    status, type_, message = ERRORS[kind]
    if not failure.kind:
        status, type_ = failure.status, TYPES.get(failure.status, type_)
    told = {"type": type_, "message": failure.message or message.format(model=ask.model)}
    return status, {"type": "error", "error": told, "request_id": "req_test"}


def frame(body: Json) -> bytes:
    """A server-sent event, named by its type."""
    return b"event: %b\ndata: %b\n\n" % (body["type"].encode(), orjson.dumps(body))


def _kind(status: int) -> Kind:
    by_status: dict[int, Kind] = {
        401: "key", 402: "balance", 403: "permission", 404: "model", 429: "rate", 529: "overloaded"
    }  # fmt: skip
    return by_status.get(status, "server" if status >= 500 else "bad")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(block["text"] for block in content or () if block["type"] == "text")


def _tool(body: Json, last: Json) -> ToolCall | None:
    tools = {tool["name"]: tool for tool in body.get("tools") or ()}
    choice = body.get("tool_choice") or {}
    returned = isinstance(last["content"], list) and any(
        block["type"] == "tool_result" for block in last["content"]
    )
    if not tools or choice.get("type") == "none" or returned:
        return None
    wanted = choice.get("name") or next(iter(tools))
    require(wanted in tools, f"tool_choice: Tool '{wanted}' not found in provided tools")
    arguments = example(tools[wanted].get("input_schema") or {"type": "object"})
    return ToolCall(wanted, orjson.dumps(arguments).decode(), "toolu_test0001")


def _schema(body: Json) -> Json | None:
    wanted = body.get("output_format") or (body.get("output_config") or {}).get("format") or {}
    schema: Json | None = wanted.get("schema")
    return schema


def _models() -> Json:
    names = ("claude-sonnet-4-5", "claude-haiku-4-5")
    listed = [
        {"type": "model", "id": name, "display_name": name, "created_at": "2025-10-01T00:00:00Z"}
        for name in names
    ]
    return {"data": listed, "has_more": False, "first_id": names[0], "last_id": names[-1]}


def _message(answer: Answer) -> Json:
    return {
        "id": f"msg_{answer.id}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "stop_sequence": None,
    }


def _finish(answer: Answer) -> str | None:
    return FINISH.get(answer.finish, answer.finish) if answer.finish else None


def _blocks(answer: Answer) -> Iterator[Json]:
    if answer.thinking:
        yield {"type": "thinking", "thinking": answer.thinking, "signature": "c2lnbmVk"}
    if answer.text is not None:
        yield {"type": "text", "text": answer.text}
    for call in answer.tool_calls:
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": call.parsed()}


def _streamed(block: Json) -> tuple[Json, list[Json]]:
    """A block as it starts, and the deltas that fill it."""
    match block["type"]:
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return {"type": "thinking", "thinking": "", "signature": ""}, [*deltas, signed]
        case "tool_use":
            given = block["input"]
            text = given if isinstance(given, str) else orjson.dumps(given).decode()
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": text}]
    return {"type": "text", "text": ""}, [
        {"type": "text_delta", "text": piece} for piece in pieces(block["text"])
    ]


def _usage(answer: Answer) -> Json | None:
    if answer.raw_usage is not None or answer.usage is None:
        return answer.raw_usage
    usage: Usage = answer.usage
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "service_tier": "standard",
    }


def _event(name: str, kind: Any, **fields: Any) -> Event:
    return Event(frame({"type": name, **fields}), kind)
