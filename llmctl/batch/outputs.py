"""What a batch writes for a row: llmctl's own form, or that of OpenAI's batch API."""

from __future__ import annotations

import time
from typing import Any

import orjson

from llmctl.batch.rows import Row
from llmctl.core.errors import LlmctlError
from llmctl.core.model import Response, Usage
from llmctl.core.money import to_usd

STATUS = {"o": "ok", "f": "failed", "x": "refused", "p": "pending"}


def kind_of(outcome: Response | LlmctlError | None) -> str:
    """The journal's letter: ok, failed, refused before it was sent, pending."""
    if outcome is None:
        return "p"
    if isinstance(outcome, Response):
        return "o"
    return "x" if outcome.exit_code in (6, 7) and not outcome.tried else "f"


def render(row: Row, outcome: Response | LlmctlError | None, openai: bool) -> bytes:
    """The row's JSON, one line without its end."""
    fields = openai_row(row, outcome) if openai else llmctl_row(row, outcome)
    return orjson.dumps(fields, option=orjson.OPT_NON_STR_KEYS)


def llmctl_row(row: Row, outcome: Response | LlmctlError | None) -> dict[str, Any]:
    answer = outcome if isinstance(outcome, Response) else outcome.response if outcome else None
    failed = outcome if isinstance(outcome, LlmctlError) else None
    usage = answer.usage if answer else Usage()
    fields: dict[str, Any] = {
        "id": row.id,
        "row": row.number,
        "status": STATUS[kind_of(outcome)],
        "text": answer.text if answer else None,
        "parsed": answer.parsed if answer else None,
        "model": answer.model if answer else None,
        "finish_reason": answer.finish_reason if answer else None,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cached_tokens": usage.cached_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
        },
        "cost_usd": to_usd(cost_of(outcome)),
        "cached": (answer.cached or False) if answer else False,
        "attempts": len(outcome.tried) if outcome else 0,
        "latency_s": round(answer.latency, 6) if answer else 0.0,
        "error": failed.envelope() if failed else None,
    }
    if answer is not None:
        if usage.estimated:
            fields["usage"]["estimated"] = True
        if answer.reasoning:
            fields["reasoning"] = answer.reasoning
        if answer.tool_calls:
            fields["tool_calls"] = list(answer.tool_calls)
        if answer.warnings:
            fields["warnings"] = list(answer.warnings)
        if answer.finish_reason == "length":
            fields["truncated"] = True
    return fields


def cost_of(outcome: Response | LlmctlError | None) -> int | None:
    """Nano-dollars of all attempts; None where one's price or billing is unknown."""
    if outcome is None or isinstance(outcome, Response):
        return outcome.cost if outcome else 0
    costs = [attempt.cost for attempt in outcome.tried]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def openai_row(row: Row, outcome: Response | LlmctlError | None) -> dict[str, Any]:
    """OpenAI's batch output: a status of 400 or more stands in `response`, other failures in `error`."""
    fields: dict[str, Any] = {
        "id": f"batch_req_{row.number}",
        "custom_id": row.id,
        "response": None,
        "error": None,
    }
    if isinstance(outcome, Response):
        body = outcome.body or openai_body(outcome)
        fields["response"] = {"status_code": 200, "request_id": str(body.get("id", "")), "body": body}
    elif outcome is None:
        fields["error"] = {"code": "pending", "message": "not sent yet"}
    elif outcome.status is not None and outcome.status >= 400:
        error = {"message": outcome.message, "type": outcome.type, "param": None, "code": outcome.type}
        fields["response"] = {"status_code": outcome.status, "request_id": "", "body": {"error": error}}
    else:
        fields["error"] = {"code": outcome.type, "message": outcome.message}
    return fields


def openai_body(response: Response) -> dict[str, Any]:
    """A chat completion in OpenAI's form, for answers of providers that speak another."""
    message: dict[str, Any] = {"role": "assistant", "content": response.text}
    if response.tool_calls:
        message["tool_calls"] = list(response.tool_calls)
    if response.reasoning:
        message["reasoning_content"] = response.reasoning
    usage = response.usage
    return {
        "id": "",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": response.model.partition("/")[2],
        "choices": [{"index": 0, "message": message, "finish_reason": response.finish_reason}],
        "usage": {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        },
    }


def shared(payload: bytes, row: Row) -> bytes:
    """Another row's answer as this row's own: asked once, so this one is free."""
    fields = orjson.loads(payload)
    if "custom_id" in fields:
        fields["custom_id"], fields["id"] = row.id, f"batch_req_{row.number}"
    else:
        fields.update(id=row.id, row=row.number, cost_usd=0.0, attempts=0)
        if fields["status"] == "ok":
            fields["cached"] = "shared"
    return orjson.dumps(fields)
