"""Tells the log of every call, and of every request that went out for it: hashes and lengths, no texts."""

from __future__ import annotations

import time
from typing import Any

from llmctl.core.canonical import digest
from llmctl.core.errors import LlmctlError, tried_of
from llmctl.core.model import Request, Response, Send
from llmctl.core.ports import Log


def log(next: Send, book: Log | None, texts: bool = False, many: bool = False) -> Send:
    """A line a call: `info`, or `debug` where there are `many`; a failed one `warning`.

    `book` None: no log, and `next` itself. With `texts` the line holds messages and answer as they
    stand below redaction.
    """
    if book is None:
        return next
    level = "debug" if many else "info"
    quiet = not book.wants(level)

    async def send(request: Request) -> Response:
        started = time.monotonic()
        try:
            response = await next(request)
        except Exception as error:
            if book.wants("warning"):
                book.event("warning", "call", **_call(request, error, time.monotonic() - started, texts))
            raise
        if not quiet:
            book.event(level, "call", **_call(request, response, time.monotonic() - started, texts))
        return response

    return send


def log_attempts(next: Send, book: Log | None) -> Send:
    """A line a request that goes out: `debug`, a failed one `warning`."""
    if book is None or not book.wants("warning"):
        return next
    everything = book.wants("debug")

    async def send(request: Request) -> Response:
        started = time.monotonic()
        try:
            response = await next(request)
        except LlmctlError as error:
            book.event("warning", "attempt", **_attempt(request, started), **_failure(error))
            raise
        if everything:
            book.event("debug", "attempt", **_attempt(request, started), status="ok")
        return response

    return send


def _attempt(request: Request, started: float) -> dict[str, Any]:
    return {
        "call": request.call,
        "model": request.target.model,
        "key": request.key,
        "latency_s": round(time.monotonic() - started, 6),
    }


def _call(request: Request, outcome: Response | Exception, latency: float, texts: bool) -> dict[str, Any]:
    answer = outcome if isinstance(outcome, Response) else getattr(outcome, "response", None)
    fields: dict[str, Any] = {
        "call": request.call,
        "profile": request.profile,
        "model": answer.model if answer is not None else request.target.model,
        "tag": request.tag,
    }
    if isinstance(outcome, Response):
        fields |= {"status": "ok", "finish": outcome.finish_reason, "cached": outcome.cached}
    else:
        fields |= _failure(outcome)
    fields |= {
        "attempts": len(tried_of(outcome)) if isinstance(outcome, Exception) else outcome.attempts,
        "latency_s": round(latency, 6),
        "request_hash": request.fingerprint[:32],
        "prompt_chars": _chars(request),
    }
    if answer is not None:
        fields |= {
            "answer_hash": digest(answer.text.encode("utf-8", "replace"))[:32],
            "answer_chars": len(answer.text),
            "input_tokens": answer.usage.input_tokens,
            "output_tokens": answer.usage.output_tokens,
            "cost_usd": None if answer.cost is None else answer.cost / 1e9,
        }
    if texts:
        fields["messages"] = list(request.messages)
        fields["answer"] = answer.text if answer is not None else None
    return fields


def _failure(error: Exception) -> dict[str, Any]:
    """What happened, without the words that providers say it in: those may quote the prompt."""
    fields: dict[str, Any] = {"status": "failed", "error": getattr(error, "type", type(error).__name__)}
    if isinstance(error, LlmctlError):
        fields |= {"http_status": error.status, "retry_after_s": error.retry_after, "billed": error.billed}
    return fields


def _chars(request: Request) -> int:
    total = 0
    for message in request.messages:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        total += sum(len(part.get("text") or "") for part in parts if isinstance(part, dict))
    return total
