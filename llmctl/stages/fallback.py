"""Asks the profile's next model where one cannot answer, and says so; a budget's refusal ends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from llmctl.core.errors import (
    AccountError,
    ContentRefused,
    ContextTooLong,
    LlmctlError,
    ProviderError,
    add_tried,
)
from llmctl.core.model import Attempt, OnText, Request, Response, Send, replace
from llmctl.stages.retry import total_cost

PASSED_ON = (ProviderError, AccountError, ContentRefused, ContextTooLong)
"""Down, open, rate-limited, without a key that works, refused for its content, too small."""


class StandIns(Protocol):
    """Who answers in a model's place."""

    def names(self, request: Request) -> Sequence[str]:
        """In order; empty where nobody does."""
        ...

    def request(self, request: Request, name: str) -> Request:
        """The same question to another model."""
        ...


def fallback(next: Send, stand_ins: StandIns | None) -> Send:
    """`next` itself where the profile names no fallback.

    Each model has its own retries and its own total time. Nothing is passed on once text was shown.
    """
    if stand_ins is None:
        return next

    async def send(request: Request) -> Response:
        names = list(stand_ins.names(request))
        if not names:
            return await next(request)
        shown = _Shown(request.on_text, request.heard)
        asked = replace(request, on_text=shown.listener, stand_in=True)
        tried: tuple[Attempt, ...] = ()
        reasons: list[str] = []
        while True:
            try:
                response = await next(asked)
            except BaseException as error:  # whatever ends it: what was tried before is told with it
                add_tried(error, tried)
                if not isinstance(error, PASSED_ON) or not names or shown.any:
                    _tell(error, reasons)
                    raise
                tried = error.tried
                reasons.append(f"{asked.target.model}: {error.type}")
                asked = replace(stand_ins.request(asked, names.pop(0)), stand_in=bool(names))
            else:
                return _passed_on(response, request, reasons, tried) if reasons else response

    return send


class _Shown:
    """Whether any text has reached the listener."""

    def __init__(self, listener: OnText | None, heard: bool) -> None:
        self.any = False
        self.heard = heard
        self.listener: OnText | None = None
        if listener is not None:
            self.listener = lambda text: self._tell(listener, text)

    def _tell(self, listener: OnText, text: str) -> None:
        self.any = self.heard
        listener(text)


def _passed_on(
    response: Response, request: Request, reasons: list[str], tried: tuple[Attempt, ...]
) -> Response:
    """The answer with what was tried before it, who it stands in for, and why."""
    everything = tried + response.tried
    said = f"answered by {response.model} ({'; '.join(reasons)})"
    return replace(
        response,
        tried=everything,
        cost=total_cost(everything),
        warnings=(said, *response.warnings),
        instead_of=request.target.model,
    )


def _tell(error: BaseException, reasons: list[str]) -> None:
    """The last model's error tells of those of the models before it."""
    if reasons and isinstance(error, LlmctlError):
        error.message = f"{error.message} (before that: {'; '.join(reasons)})"
        error.args = (error.message,)
