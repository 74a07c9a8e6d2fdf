"""Whether an answer that arrived whole is one: the same judgement for every provider's format."""

from __future__ import annotations

from collections.abc import Callable

from llmctl.core.errors import ContentRefused, EmptyAnswer
from llmctl.core.model import Request, Response, Usage, replace

Estimate = Callable[[Request, Response], Usage]
"""Counts tokens where the provider's own usage is missing or absurd."""


def judged(request: Request, response: Response, estimate: Estimate) -> Response:
    """The response with a usable usage. ContentRefused, EmptyAnswer where it is no answer."""
    if response.usage.estimated:
        response = replace(response, usage=estimate(request, response))
    model = request.target.model
    if response.finish_reason == "content_filter":
        raise ContentRefused(
            f"{model}: the provider's filter withheld the answer", billed="yes", response=response
        )
    if not response.text.strip() and not response.tool_calls:
        hint = None
        if response.finish_reason == "length":
            hint = "all tokens went into reasoning: raise max_tokens"
        raise EmptyAnswer(f"{model}: the answer has no text", hint=hint, billed="yes", response=response)
    return response
