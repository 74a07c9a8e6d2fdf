"""Chain of thought: the answer apart from the reasoning, also while it streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmctl.core.model import OnText, Request, Response, Send, replace

if TYPE_CHECKING:
    from llmctl.prompts.reasoning import Withhold

LONGEST = 16
"""Characters of the longest tag that opens thoughts, and some more."""


def reasoning(next: Send) -> Send:
    """For requests that asked for steps, and for models that think aloud: text that begins with a tag.

    The listener hears the answer alone.
    """

    async def send(request: Request) -> Response:
        if request.on_text is None:
            return _apart(await next(request), request.cot)
        listener = Listener(request.on_text, request.cot)
        response = await next(replace(request, on_text=listener))
        listener.finish()
        return _apart(response, request.cot)

    return send


def _apart(response: Response, asked: bool) -> Response:
    if not asked and not response.text.lstrip().startswith("<"):
        return response
    from llmctl.prompts.reasoning import apart

    return apart(response, marked=asked) if asked or _opens(response.text) else response


def _opens(text: str) -> bool:
    from llmctl.prompts.reasoning import OPEN

    return OPEN.match(text) is not None


class Listener:
    """Passes text on as it comes; what may be thoughts goes through `Withhold` first."""

    def __init__(self, on_text: OnText, asked: bool) -> None:
        self._on_text = on_text
        self._start = ""
        self._plain = False
        self._thoughts: Withhold | None = None
        if asked:
            self._withhold("", asked)

    def __call__(self, piece: str) -> None:
        if self._thoughts is not None:
            self._thoughts(piece)
        elif self._plain:
            self._on_text(piece)
        else:
            self._decide(self._start + piece)

    def _decide(self, text: str) -> None:
        """Waits for the first word: is it a tag that opens thoughts?"""
        self._start = text
        begun = text.lstrip()
        if not begun or (begun[0] == "<" and ">" not in begun and len(begun) < LONGEST):
            return
        if begun[0] == "<" and _opens(text):
            self._withhold(text, False)
            return
        self._plain = True
        self._on_text(text)

    def _withhold(self, text: str, asked: bool) -> None:
        from llmctl.prompts.reasoning import Withhold

        self._thoughts = Withhold(self._on_text, marked=asked)
        if text:
            self._thoughts(text)

    def finish(self) -> None:
        """The stream is over: passes on what was kept back."""
        if self._thoughts is not None:
            self._thoughts.finish()
        elif not self._plain and self._start:
            self._on_text(self._start)
