"""Structured answers: checked against the request's schema, and asked for again where they do not fit."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

from llmctl.core.errors import LlmctlError, SchemaMismatch
from llmctl.core.model import Message, Request, Response, Send, Usage, replace

COUNTS = tuple(name for name in Usage._fields if name.endswith(("_tokens", "searches")))


class Fitting(Protocol):
    """An answer that fits its schema."""

    @property
    def value(self) -> Any: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...

    def shown(self, text: str) -> str:
        """The answer as JSON, mended where it had to be."""
        ...


class Answers(Protocol):
    """What this stage needs to know of schemas."""

    def ready(self, request: Request) -> Request:
        """The request as it goes out, its schema in the text where the model takes none."""
        ...

    def validate(self, text: str, schema: Mapping[str, Any], cut: bool) -> Fitting:
        """SchemaMismatch where the answer does not fit; `cut`: it ended at its token limit."""
        ...

    def ask_again(
        self, messages: Sequence[Message], answer: str, error: SchemaMismatch
    ) -> tuple[Message, ...]: ...


def schema(next: Send, retries: int, answers: Answers) -> Send:
    """Checks every answer to a request with a schema; at most `retries` more calls, each a whole one.

    The response holds the sum of all calls: cost, usage, attempts. A listener gets the answer that fits,
    in one piece, since what was streamed before could not be taken back. An error carries what was paid.
    """

    def send(request: Request) -> Awaitable[Response]:
        return next(request) if request.schema is None else checked(request)

    async def checked(request: Request) -> Response:
        try:
            return await _fitting(next, request, retries, answers)
        except SchemaMismatch as error:
            if error.response is None or error.response.cached not in ("exact", "semantic"):
                raise
        # Nothing was paid: what does not fit came out of the cache, and is not to stay there.
        return await _fitting(next, replace(request, cache="refresh"), retries, answers)

    return send


async def _fitting(next: Send, request: Request, retries: int, answers: Answers) -> Response:
    """The first answer that fits, with what all calls came to."""
    assert request.schema is not None
    asked = replace(answers.ready(request), on_text=None)
    total: Response | None = None
    for left in range(retries, -1, -1):
        response = await _call(next, asked, total)
        total = response if total is None else together(total, response)
        if not response.text and response.tool_calls:
            return total
        cut = response.finish_reason == "length"
        try:
            found = answers.validate(response.text, request.schema, cut)
        except LlmctlError as error:
            if not isinstance(error, SchemaMismatch) or not left or cut:
                raise _failed(error, total) from None
            messages = answers.ask_again(asked.messages, response.text, error)
            asked = replace(asked, messages=messages, fingerprint="", call=0)
            continue
        break
    assert total is not None
    if request.on_text is not None:
        request.on_text(found.shown(total.text))
    return replace(total, parsed=found.value, warnings=_all(total.warnings, found.warnings))


async def _call(next: Send, request: Request, before: Response | None) -> Response:
    """One call; where it fails, the error says what the calls before it cost."""
    try:
        return await next(request)
    except LlmctlError as error:
        if before is not None:
            error.tried = before.tried + error.tried
            error.response = before if error.response is None else together(before, error.response)
        raise


def _failed(error: LlmctlError, total: Response) -> LlmctlError:
    """The error with what was paid for the answers that it judges."""
    calls = len(total.tried)
    if calls > 1:
        error.message = f"{error.message} (after {calls} attempts)"
        error.args = (error.message,)
    error.billed = "yes" if calls else "no"
    error.response = total
    error.tried = total.tried
    return error


def together(before: Response, last: Response) -> Response:
    """The last response, with what all calls cost and took."""
    return replace(
        last,
        usage=_sum(before.usage, last.usage),
        cost=None if before.cost is None or last.cost is None else before.cost + last.cost,
        saved=None if before.saved is None or last.saved is None else before.saved + last.saved,
        cached=last.cached if before.cached else None,
        latency=before.latency + last.latency,
        ttft=before.ttft,
        tried=before.tried + last.tried,
        warnings=_all(before.warnings, last.warnings),
    )


def _sum(a: Usage, b: Usage) -> Usage:
    counts = {name: getattr(a, name) + getattr(b, name) for name in COUNTS}
    service = a.service if a.service == b.service else None
    return Usage(**counts, estimated=a.estimated or b.estimated, service=service)


def _all(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(a + b))
