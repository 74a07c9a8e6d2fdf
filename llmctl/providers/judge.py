"""What to think of an answer, and what to add to an error: the same for every provider's format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from llmctl.core.errors import (
    AuthError,
    ContentRefused,
    ContextTooLong,
    EmptyAnswer,
    Forbidden,
    LlmctlError,
    ModelNotFound,
)
from llmctl.core.model import Request, Response, Usage, replace

Estimate = Callable[[Request, Response], Usage]
"""Counts tokens where the provider's own usage is missing or absurd."""


class Judge:
    """Implements `core.ports.Judge`.

    `near` gives known models with names like one, `room` how many tokens of input a model takes
    (None: not known).
    """

    def __init__(
        self, estimate: Estimate, near: Callable[[str], list[str]], room: Callable[[str], int | None]
    ) -> None:
        self.estimate = estimate
        self.near = cache(near)  # a look through thousands of names; a batch may ask for every row
        self.room = room

    def answer(self, request: Request, response: Response) -> Response:
        if response.usage.estimated:
            response = replace(response, usage=self.estimate(request, response))
        model = request.target.model
        if response.finish_reason == "content_filter":
            raise ContentRefused(
                f"{model}: the provider's filter withheld the answer",
                billed=response.billed,
                response=response,
            )
        if not response.text.strip() and not response.tool_calls:
            hint = None
            if response.finish_reason == "length":
                hint = "all tokens went into reasoning: raise max_tokens"
            raise EmptyAnswer(
                f"{model}: the answer has no text", hint=hint, billed=response.billed, response=response
            )
        return response

    def error(self, request: Request, error: LlmctlError, key: str | None) -> None:
        from llmctl.providers.told import without  # only what failed needs its patterns

        model = request.target.model
        named, said = ("", error.message)
        if said.startswith(f"{model}: "):
            named, said = model + ": ", said[len(model) + 2 :]
        error.message = named + without(said, key, texts(request))
        if isinstance(error, ContextTooLong):
            counted = self.estimate(request, Response("", model)).input_tokens
            room = self.room(model)
            takes = f", {model} takes {room:,}" if room is not None else ""
            error.message += f"; {counted:,} tokens counted here{takes}"
        elif isinstance(error, ModelNotFound):
            near = " or ".join(name for name in self.near(model) if name != model)
            error.hint = f"did you mean {near}? {error.hint}" if near else error.hint
        elif isinstance(error, AuthError | Forbidden) and request.key is not None:
            error.hint = f"the key is {request.key}; {error.hint}"
        error.args = (error.message,)


def texts(request: Request) -> Iterator[str]:
    """All texts of the messages."""
    for message in request.messages:
        content = message.get("content")
        if isinstance(content, str):
            yield content
        elif isinstance(content, list):
            yield from (part["text"] for part in content if isinstance(part, dict) and "text" in part)
