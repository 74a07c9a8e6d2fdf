"""Starts with the cheapest model and climbs to the next where an answer fails its check."""

from __future__ import annotations

from collections.abc import Awaitable

from llmctl.core.errors import EmptyAnswer, Interrupted, LlmctlError, SchemaMismatch, UnsafeAnswer
from llmctl.core.model import Request, Response, Send, Step, replace
from llmctl.stages.retry import total_cost
from llmctl.stages.schema import together

FAILED = (SchemaMismatch, EmptyAnswer, UnsafeAnswer)
"""What a more capable model may do better. A budget's refusal, or a provider that is down, is none of it."""


def cascade(next: Send) -> Send:
    """Each step is a whole call, recorded by itself; the response holds the sum of all of them.

    An answer that was cut at its token limit climbs too; where the models above it cannot be asked, it
    is the answer after all. Text is shown once it is clear that nothing will take its place.
    """

    def send(request: Request) -> Awaitable[Response]:
        return climbing(request) if request.climb else next(request)

    async def climbing(request: Request) -> Response:
        total: Response | None = None
        for place, at in enumerate(steps(request)):
            last = place == len(request.climb)
            asked = at if last or at.on_text is None else replace(at, on_text=_keep_quiet, heard=False)
            try:
                response = await next(asked)
            except FAILED as error:
                total = _sum(total, _paid(error, at))
                if last:
                    raise _told(error, total) from None
                continue
            except LlmctlError as error:
                return _cut_off(error, total, _sum(total, _paid(error, at)), request)
            total = _sum(total, response)
            if last or response.finish_reason != "length":
                if not last and request.on_text is not None:
                    request.on_text(total.text)
                return total
        raise AssertionError("a cascade ends with its last step")

    return send


def steps(request: Request) -> list[Request]:
    """The request as each step of its cascade asks it."""
    return [replace(request, climb=()), *(_at(request, step) for step in request.climb)]


def _at(request: Request, step: Step) -> Request:
    return replace(
        request,
        target=step.target,
        params=step.params,
        defaults=step.defaults,
        key=step.target.keys[0] if step.target.keys else None,
        climb=(),
        fingerprint="",
        call=0,
    )


def _paid(error: LlmctlError, at: Request) -> Response:
    """What a failed step came to, in the form of an answer."""
    response = error.response or Response("", at.target.model)
    return replace(response, cost=total_cost(error.tried), tried=error.tried)


def _sum(before: Response | None, last: Response) -> Response:
    return last if before is None else together(before, last)


def _told(error: LlmctlError, total: Response) -> LlmctlError:
    """The error with what all steps cost."""
    error.response, error.tried = total, total.tried
    return error


def _cut_off(error: LlmctlError, before: Response | None, total: Response, request: Request) -> Response:
    """A step that could not be asked: the answer before it, where there is one that was only cut short."""
    if (
        isinstance(error, Interrupted)
        or before is None
        or before.finish_reason != "length"
        or not before.text
    ):
        raise _told(error, total)
    if request.on_text is not None:
        request.on_text(before.text)
    warning = f"the answer is cut at max_tokens, and no better one could be asked for: {error.message}"
    paid = replace(total, text=before.text, model=before.model, finish_reason=before.finish_reason)
    return replace(paid, parsed=before.parsed, warnings=(*total.warnings, warning))


def _keep_quiet(chunk: str) -> None:
    """Takes a piece of text that may yet be replaced."""
