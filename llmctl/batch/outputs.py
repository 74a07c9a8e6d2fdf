"""What a batch writes for a row: llmctl's own form, or that of OpenAI's batch API.

The journal holds llmctl's form for every row, since it says more; what only OpenAI's form needs
(status, request id, body) stands in front of it under `openai`.
"""

from __future__ import annotations

import time
from typing import Any

import orjson

from llmctl.batch.rows import Row
from llmctl.core.canonical import clean
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


OPENAI = b'{"openai":'
"""How the record of a row begins that came as a row of OpenAI's batch API."""


def render(row: Row, outcome: Response | LlmctlError | None, openai: bool) -> bytes:
    """The row's JSON for the journal, one line without its end. `openai`: its OUT has OpenAI's form."""
    fields = llmctl_row(row, outcome)
    if openai:
        fields = {"openai": openai_response(outcome), **fields}
    return orjson.dumps(fields, option=orjson.OPT_NON_STR_KEYS)


def written(payload: bytes, openai: bool) -> bytes:
    """A record's payload as OUT has it."""
    if not openai and not payload.startswith(OPENAI):
        return payload
    fields = orjson.loads(payload)
    response = fields.pop("openai", None)
    return orjson.dumps(openai_row(fields, response) if openai else fields)


def is_openai(payload: bytes) -> bool:
    return payload.startswith(OPENAI)


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


def openai_response(outcome: Response | LlmctlError | None) -> dict[str, Any] | None:
    """What OpenAI's batch API says of an HTTP answer; None where there was none."""
    if isinstance(outcome, Response):
        body = outcome.body
        request_id = outcome.headers.get("x-request-id") or (body or {}).get("id")
        return {"status_code": 200, "request_id": clean(str(request_id or "")), "body": body}
    if outcome is None or outcome.status is None or outcome.status < 400:
        return None
    return {"status_code": outcome.status, "request_id": "", "body": None}


def openai_row(fields: dict[str, Any], response: dict[str, Any] | None) -> dict[str, Any]:
    """OpenAI's batch output: a status of 400 or more stands in `response`, other failures in `error`."""
    error = fields["error"]
    status = error["status"] if error else None
    if response is None and (fields["status"] == "ok" or (status or 0) >= 400):
        response = {"status_code": status or 200, "request_id": "", "body": None}
    if response is not None and not response["body"]:
        response["body"] = openai_error(error) if error else openai_body(fields)
    row: dict[str, Any] = {
        "id": f"batch_req_{fields['row']}",
        "custom_id": fields["id"],
        "response": response,
        "error": None,
    }
    if fields["status"] == "pending":
        row["error"] = {"code": "pending", "message": "not sent yet"}
    elif response is None:
        row["error"] = {"code": error["type"], "message": error["message"]}
    return row


def openai_error(error: dict[str, Any]) -> dict[str, Any]:
    told = {"message": error["message"], "type": error["type"], "param": None, "code": error["type"]}
    return {"error": told}


def openai_body(fields: dict[str, Any]) -> dict[str, Any]:
    """A chat completion in OpenAI's form, for answers that came in another."""
    message: dict[str, Any] = {"role": "assistant", "content": fields["text"]}
    if fields.get("tool_calls"):
        message["tool_calls"] = fields["tool_calls"]
    if fields.get("reasoning"):
        message["reasoning_content"] = fields["reasoning"]
    usage = fields["usage"]
    return {
        "id": "",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": fields["model"].partition("/")[2],
        "choices": [{"index": 0, "message": message, "finish_reason": fields["finish_reason"]}],
        "usage": {
            "prompt_tokens": usage["input_tokens"],
            "completion_tokens": usage["output_tokens"],
            "total_tokens": usage["input_tokens"] + usage["output_tokens"],
            "prompt_tokens_details": {"cached_tokens": usage["cached_tokens"]},
            "completion_tokens_details": {"reasoning_tokens": usage["reasoning_tokens"]},
        },
    }


def relabelled(payload: bytes, row: Row) -> bytes:
    """A record of the row's own request that was made under another number or id."""
    fields = orjson.loads(payload)
    fields.update(id=row.id, row=row.number)
    return orjson.dumps(fields)


def shared(payload: bytes, row: Row) -> bytes:
    """Another row's answer as this row's own: asked once, so this one is free."""
    fields = orjson.loads(payload)
    fields.update(id=row.id, row=row.number, cost_usd=0.0, attempts=0)
    if fields["status"] == "ok":
        fields["cached"] = "shared"
    return orjson.dumps(fields)


SEALED = b',"veil":"'
SEAL = 16


def seal_of(payload: bytes) -> bytes:
    """Under which rule values were hidden in the record; empty where none were."""
    start = len(payload) - SEAL - 2 - len(SEALED)
    return payload[-SEAL - 2 : -2] if payload.startswith(SEALED, start) else b""


def is_final(payload: bytes, number: int) -> bool:
    """Whether nothing was hidden in a row's record: no value, and no id but its number."""
    return payload.startswith(b'{"id":"%d","row":%d,' % (number, number)) and not seal_of(payload)


def is_labelled(payload: bytes, row: Row) -> bool:
    """Whether a record holds that very number and id."""
    label = b'"id":%b,"row":%d,' % (orjson.dumps(row.id), row.number)
    if payload.startswith(b"{" + label):
        return True
    if not is_openai(payload):
        return False
    fields = orjson.loads(payload)
    return bool(fields["id"] == row.id and fields["row"] == row.number)
