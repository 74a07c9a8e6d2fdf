"""Ollama's own API: /api/chat, /api/generate, and the side requests its clients make."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
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
    ToolCall,
    last_text,
    pieces,
    require,
    words,
)
from ..request import Request
from ..schema import example

STREAM_TYPE = "application/x-ndjson"

ROLES = ("system", "user", "assistant", "tool")

# kind -> status, message
ERRORS: dict[Kind, tuple[int, str]] = {
    "bad": (400, "invalid request"),
    "key": (401, "unauthorized"),
    "permission": (403, "forbidden"),
    "balance": (402, "payment required"),
    "quota": (429, "you have reached your weekly usage limit"),
    "spend": (429, "you have reached your monthly spend limit"),
    "model": (404, 'model "{model}" not found, try pulling it first'),
    "context": (400, f"the input length ({CONTEXT_ASKED}) exceeds the context length ({CONTEXT_LIMIT})"),
    "policy": (400, "request blocked by policy"),
    "rate": (429, "too many requests"),
    "overloaded": (503, "server busy, please try again. maximum pending requests exceeded"),
    "server": (500, "llama runner process has terminated"),
}


def matches(request: Request) -> bool:
    """Everything under /api/."""
    return request.path in READERS


def read(request: Request) -> Ask:
    """The request checked. Ollama asks for no key; one that is sent is kept for the script."""
    ask = READERS[request.path](request)
    ask.key = request.bearer()
    return ask


def body(ask: Ask, answer: Answer) -> Json:
    """The answer in one piece, with its counts."""
    return _line(ask, answer, _said(ask, answer)) | _last(answer)


def events(ask: Ask, answer: Answer) -> list[Event]:
    """A line for each word; the last one is `done` and has the counts."""
    made = []
    if answer.choices:
        made += [Event(frame(_line(ask, answer, piece) | {"done": False})) for piece in _spoken(ask, answer)]
    nothing = _word(ask, {"content": ""}) if answer.choices else {}
    return [*made, Event(frame(_line(ask, answer, nothing) | _last(answer)), "finish")]


def error(ask: Ask, failure: Failure) -> tuple[int, Json]:
    """`{"error": "text"}`"""
    kind = failure.kind or _kind(failure.status)
    status, message = ERRORS[kind]
    return (status if failure.kind else failure.status), {
        "error": failure.message or message.format(model=ask.model)
    }


def frame(body: Json) -> bytes:
    """A line of JSON."""
    return orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)


def _kind(status: int) -> Kind:
    by_status: dict[int, Kind] = {
        401: "key", 402: "balance", 403: "permission", 404: "model", 429: "rate", 503: "overloaded"
    }  # fmt: skip
    return by_status.get(status, "server" if status >= 500 else "bad")


def _read_chat(request: Request) -> Ask:
    body = _common(request)
    messages = body.get("messages")
    require(isinstance(messages, list) and messages, "messages is required")
    for message in messages or []:
        require(isinstance(message, dict) and message.get("role") in ROLES, "invalid role")
        require(isinstance(message.get("content", ""), str), "content must be a string")
        _check_images(message)
    last = messages[-1] if messages else {}
    return Ask(
        model=body["model"],
        text=last_text(each.get("content", "") for each in messages or [] if each["role"] == "user"),
        prompt_tokens=sum(words(each.get("content", "")) for each in messages or []),
        stream=body.get("stream", True),
        tool=_tool(body) if last["role"] == "user" else None,
        schema=_schema(body),
        variant="chat",
    )


def _read_generate(request: Request) -> Ask:
    body = _common(request)
    prompt = body.get("prompt")
    require(isinstance(prompt, str) and prompt, "prompt is required")
    _check_images(body)
    return Ask(
        model=body["model"],
        text=str(prompt),
        prompt_tokens=words(str(prompt)) + words(body.get("system") or ""),
        stream=body.get("stream", True),
        schema=_schema(body),
        variant="generate",
    )


def _read_show(request: Request) -> Ask:
    body = request.json_object()
    model = body.get("model") or body.get("name")
    require(isinstance(model, str) and model, "model is required")
    info = {"general.architecture": "llama", "llama.context_length": CONTEXT_LIMIT}
    details = {"format": "gguf", "family": "llama", "parameter_size": "1B", "quantization_level": "Q4_0"}
    told = {
        "details": details,
        "model_info": info,
        "capabilities": ["completion", "tools", "vision"],
        "template": "",
    }
    return Ask(model=str(model), fixed=told)


def _read_tags(request: Request) -> Ask:
    models = [{"name": "llama3.2:latest", "model": "llama3.2:latest", "size": 2_000_000_000}]
    return Ask(fixed={"models": models})


def _read_version(request: Request) -> Ask:
    return Ask(fixed={"version": "0.12.0"})


READERS: dict[str, Callable[[Request], Ask]] = {
    "/api/chat": _read_chat,
    "/api/generate": _read_generate,
    "/api/show": _read_show,
    "/api/tags": _read_tags,
    "/api/version": _read_version,
}


def _common(request: Request) -> Json:
    require(request.method == "POST", "405 method not allowed", status=405)
    body = request.json_object()
    require(isinstance(body.get("model"), str) and body["model"], "model is required")
    require(isinstance(body.get("stream", True), bool), "stream must be a boolean")
    require(isinstance(body.get("options") or {}, dict), "options must be an object")
    wanted = body.get("format") or "json"
    require(wanted == "json" or isinstance(wanted, dict), 'format must be "json" or a JSON schema')
    return body


def _check_images(holder: Json) -> None:
    images = holder.get("images") or []
    base64 = isinstance(images, list) and all(isinstance(image, str) and ":" not in image for image in images)
    require(base64, "images must be a list of base64 texts")


def _tool(body: Json) -> ToolCall | None:
    tools = body.get("tools")
    if not tools:
        return None
    function = tools[0].get("function") or {}
    require(function.get("name"), "tools[0].function.name is required")
    arguments = example(function.get("parameters") or {"type": "object"})
    return ToolCall(function["name"], orjson.dumps(arguments).decode())


def _schema(body: Json) -> Json | None:
    wanted = body.get("format")
    return {} if wanted == "json" else wanted or None


def _line(ask: Ask, answer: Answer, said: Json) -> Json:
    created = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {"model": answer.model, "created_at": created, **said}


def _said(ask: Ask, answer: Answer) -> Json:
    if not answer.choices:
        return {}
    message: Json = {"content": answer.text if answer.text is not None or not answer.tool_calls else ""}
    if answer.thinking:
        message["thinking"] = answer.thinking
    if answer.tool_calls:
        message["tool_calls"] = [_call(call) for call in answer.tool_calls]
    return _word(ask, message)


def _spoken(ask: Ask, answer: Answer) -> list[Json]:
    said = [{"content": "", "thinking": piece} for piece in pieces(answer.thinking)]
    said += [{"content": piece} for piece in pieces(answer.text or "")]
    made = [_word(ask, each) for each in said]
    if answer.tool_calls:
        made.append(_word(ask, {"content": "", "tool_calls": [_call(call) for call in answer.tool_calls]}))
    return made


def _word(ask: Ask, message: Json) -> Json:
    """/api/chat holds a message, /api/generate the text alone."""
    if ask.variant == "chat":
        return {"message": {"role": "assistant", **message}}
    return {
        "response": message["content"],
        **{key: each for key, each in message.items() if key == "thinking"},
    }


def _call(call: ToolCall) -> Any:
    return {"function": {"name": call.name, "arguments": call.parsed()}}


def _last(answer: Answer) -> Json:
    finish = {"stop": "stop", "tool_calls": "stop"}.get(answer.finish or "", answer.finish)
    last: Json = {"done": True} | ({"done_reason": finish} if finish else {})
    last |= {"total_duration": 1_000_000, "load_duration": 1_000, "eval_duration": 500_000}
    if answer.raw_usage is not None:
        return last | answer.raw_usage
    if answer.usage is None:
        return last
    return last | {"prompt_eval_count": answer.usage.input_tokens, "eval_count": answer.usage.output_tokens}
