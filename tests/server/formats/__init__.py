"""The providers' formats: a module each, one line in `FORMATS`."""

from __future__ import annotations

from typing import Protocol

from ..answer import Answer, Ask, Event, Failure, Json
from ..request import Request
from . import anthropic, gemini, ollama, openai


class Format(Protocol):
    """What a module of this folder offers."""

    STREAM_TYPE: str
    """The content type of a stream."""

    def matches(self, request: Request) -> bool:
        """Is this one of the provider's addresses?"""

    def read(self, request: Request) -> Ask:
        """The request checked; raises `Refused` as the provider would refuse it."""

    def body(self, ask: Ask, answer: Answer) -> Json:
        """The answer in one piece."""

    def events(self, ask: Ask, answer: Answer) -> list[Event]:
        """The answer as a stream."""

    def error(self, ask: Ask, failure: Failure) -> tuple[int, Json]:
        """Status and body of an error."""

    def frame(self, body: Json) -> bytes:
        """One event of a stream that holds this object."""


FORMATS: tuple[Format, ...] = (anthropic, gemini, ollama, openai)


def format_of(request: Request) -> Format:
    """Whose address this is; an unknown one is answered as OpenAI answers it."""
    return next((each for each in FORMATS if each.matches(request)), openai)
