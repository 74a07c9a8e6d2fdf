"""Google's Gemini: generateContent and streamGenerateContent."""

from __future__ import annotations

import re
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
    ToolCall,
    last_text,
    pieces,
    require,
    words,
)
from ..request import Request
from ..schema import example
from .gemini_check import check

STREAM_TYPE = "text/event-stream"

METHOD = re.compile(r"/models/([^:]+):(generateContent|streamGenerateContent)$")
FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}

# kind -> status, name, message
ERRORS: dict[Kind, tuple[int, str, str]] = {
    "bad": (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "key": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "permission": (403, "PERMISSION_DENIED", "The caller does not have permission."),
    "balance": (402, "FAILED_PRECONDITION", "Billing is not enabled for this project."),
    "quota": (
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota, please check your plan.",
    ),
    "spend": (429, "RESOURCE_EXHAUSTED", "Your project has exceeded its monthly spending cap."),
    "model": (404, "NOT_FOUND", "models/{model} is not found for API version v1beta."),
    "context": (
        400,
        "INVALID_ARGUMENT",
        f"The input token count ({CONTEXT_ASKED}) exceeds the maximum number of tokens allowed "
        f"({CONTEXT_LIMIT}).",
    ),
    "policy": (200, "", ""),  # told in a 200, see `error`
    "rate": (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "server": (500, "INTERNAL", "An internal error has occurred."),
}
NAMES = {401: "UNAUTHENTICATED", 408: "DEADLINE_EXCEEDED", 409: "ABORTED", 504: "DEADLINE_EXCEEDED"}
GOOGLE_RPC = "type.googleapis.com/google.rpc."


def matches(request: Request) -> bool:
    """`…/models/{model}:generateContent`, and the list of models asked for in Google's way."""
    if request.path.endswith("/models"):
        return "x-goog-api-key" in request.headers or "key" in request.query
    return METHOD.search(request.path) is not None


def read(request: Request) -> Ask:
    """The request checked."""
    key = request.headers.get("x-goog-api-key") or request.query.get("key", "")
    require(key, "Method doesn't allow unregistered callers. Please use API Key.", status=401)
    if request.path.endswith("/models"):
        require(request.method == "GET", "Only GET is supported here.", status=405)
        return Ask(key=key, fixed=_models())
    require(request.method == "POST", "Only POST is supported here.", status=405)
    found = METHOD.search(request.path)
    model, method = found.groups() if found else ("", "")
    stream = method == "streamGenerateContent"
    require(not stream or request.query.get("alt") == "sse", "This server streams with ?alt=sse only.")
    body = _camel(request.json_object())
    check(body)
    contents = body["contents"]
    config = body.get("generationConfig", {})
    return Ask(
        model=model,
        text=last_text(_text(each) for each in contents if each.get("role", "user") == "user"),
        prompt_tokens=words(_text(body.get("systemInstruction", {})))
        + sum(words(_text(each)) for each in contents),
        stream=stream,
        key=key,
        tool=_tool(body, contents[-1]),
        schema=_schema(config),
    )


def body(ask: Ask, answer: Answer) -> Json:
    """A `GenerateContentResponse`."""
    parts = list(_parts(answer, whole=True))
    return _response(answer, [_candidate(parts, _finish(answer))], last=True)


def events(ask: Ask, answer: Answer) -> list[Event]:
    """A response for each word; the last one has the finish reason and the usage. There is no end mark."""
    if not answer.choices:
        return [Event(frame(_response(answer, [], last=True)), "finish")]
    made = [
        Event(frame(_response(answer, [_candidate([part], None)], last=False)))
        for part in _parts(answer, whole=False)
    ]
    last = _response(
        answer, [_candidate([{"text": ""}] if answer.text is not None else [], _finish(answer))], last=True
    )
    return [*made, Event(frame(last), "finish")]


def error(ask: Ask, failure: Failure) -> tuple[int, Json]:
    """`{"error": {code, message, status, details}}`; a refused prompt is a 200 with `promptFeedback`."""
    if failure.kind == "policy":
        usage = {"promptTokenCount": ask.prompt_tokens, "totalTokenCount": ask.prompt_tokens}
        return 200, {
            "promptFeedback": {"blockReason": "SAFETY"},
            "usageMetadata": usage,
            "modelVersion": ask.model,
        }
    kind = failure.kind or _kind(failure.status)
    status, name, message = ERRORS[kind]
    if not failure.kind:
        status, name = failure.status, NAMES.get(failure.status, name)
    told: Json = {
        "code": status,
        "message": failure.message or message.format(model=ask.model),
        "status": name,
    }
    if details := _details(kind):
        told["details"] = details
    return status, {"error": told}


def frame(body: Json) -> bytes:
    """A server-sent event, ended by CRLF as Google does."""
    return b"data: %b\r\n\r\n" % orjson.dumps(body)


def _kind(status: int) -> Kind:
    by_status: dict[int, Kind] = {
        402: "balance",
        403: "permission",
        404: "model",
        429: "rate",
        503: "overloaded",
    }
    return by_status.get(status, "server" if status >= 500 else "bad")


def _details(kind: Kind) -> list[Json]:
    if kind == "key":
        info = {"@type": GOOGLE_RPC + "ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
        return [info]
    if kind == "quota":
        violation = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel", "quotaValue": "50"}
        return [{"@type": GOOGLE_RPC + "QuotaFailure", "violations": [violation]}]
    return []


def _camel(value: Any, depth: int = 0) -> Any:
    """Field names in camel case, as Google's JSON takes both; two levels hold all that is checked here."""
    if isinstance(value, list):
        return [_camel(each, depth) for each in value]
    if not isinstance(value, dict) or depth > 2:
        return value
    return {
        re.sub(r"_(\w)", lambda found: found[1].upper(), key): _camel(each, depth + 1)
        for key, each in value.items()
    }


def _text(content: Json) -> str:
    return " ".join(part["text"] for part in content.get("parts", ()) if "text" in part)


def _tool(body: Json, last: Json) -> ToolCall | None:
    declared = {
        each["name"]: each
        for tool in body.get("tools") or ()
        for each in tool.get("functionDeclarations") or tool.get("function_declarations") or ()
    }
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    if (
        not declared
        or calling.get("mode") == "NONE"
        or any("functionResponse" in part for part in last["parts"])
    ):
        return None
    allowed = calling.get("allowedFunctionNames") or calling.get("allowed_function_names") or declared
    wanted = next(iter(allowed))
    require(wanted in declared, f"Function '{wanted}' is not declared.")
    schema = (
        declared[wanted].get("parameters")
        or declared[wanted].get("parametersJsonSchema")
        or {"type": "object"}
    )
    return ToolCall(wanted, orjson.dumps(example(schema)).decode())


def _schema(config: Json) -> Json | None:
    schema: Json | None = config.get("responseSchema") or config.get("responseJsonSchema")
    if schema is None and config.get("responseMimeType") == "application/json":
        return {}
    return schema


def _models() -> Json:
    names = ("gemini-2.5-flash", "gemini-2.5-pro")
    methods = ["generateContent", "countTokens"]
    listed = [
        {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}
        for name in names
    ]
    return {"models": listed}


def _parts(answer: Answer, *, whole: bool) -> Iterator[Json]:
    if answer.thinking:
        yield {"text": answer.thinking, "thought": True}
    if answer.text is not None:
        yield from ({"text": piece} for piece in ([answer.text] if whole else pieces(answer.text)))
    for call in answer.tool_calls:
        yield {"functionCall": {"name": call.name, "args": call.parsed()}}


def _candidate(parts: list[Json], finish: str | None) -> Json:
    candidate: Json = {"index": 0}
    if parts:
        candidate["content"] = {"parts": parts, "role": "model"}
    return candidate | {"finishReason": finish} if finish else candidate


def _response(answer: Answer, candidates: list[Json], *, last: bool) -> Json:
    response: Json = {"candidates": candidates if answer.choices else []}
    usage = _usage(answer) if last else None
    if usage is not None:
        response["usageMetadata"] = usage
    return response | {"modelVersion": answer.model, "responseId": answer.id}


def _finish(answer: Answer) -> str | None:
    return FINISH.get(answer.finish, answer.finish) if answer.finish else None


def _usage(answer: Answer) -> Json | None:
    if answer.raw_usage is not None or answer.usage is None:
        return answer.raw_usage
    usage = answer.usage
    told = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        told["cachedContentTokenCount"] = usage.cached_tokens
    if usage.reasoning_tokens:
        told["thoughtsTokenCount"] = usage.reasoning_tokens
    return told
