"""What is asked and what is said, in no provider's format."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from .schema import example

Json = dict[str, Any]

Kind = Literal[
    "bad",
    "key",
    "permission",
    "balance",
    "quota",
    "spend",
    "model",
    "context",
    "policy",
    "rate",
    "overloaded",
    "server",
]
EventKind = Literal["start", "text", "finish", "usage", "end", "error"]

CONTEXT_LIMIT = 8_192
CONTEXT_ASKED = 9_001


@dataclass(slots=True)
class Failure:
    """An error to be told in a provider's words: by its kind, else by its status alone."""

    status: int
    kind: Kind | None = None
    message: str = ""
    param: str | None = None


class Refused(Exception):
    """The request is not one the provider would take."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def require(ok: object, message: str, param: str | None = None, status: int = 400) -> None:
    """Raise `Refused` with the message unless `ok` is true."""
    if not ok:
        raise Refused(Failure(status, message=message, param=param))


def is_whole(value: object) -> bool:
    """Is it an integer, and no boolean?"""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Is it a number, and no boolean?"""
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(slots=True)
class ToolCall:
    """A call of a tool; `arguments` is JSON text (a fault may have broken it)."""

    name: str
    arguments: str
    id: str = "call_test0001"

    def parsed(self) -> Any:
        """The arguments as a value, or as they are where they are not JSON."""
        try:
            return orjson.loads(self.arguments)
        except orjson.JSONDecodeError:
            return self.arguments


@dataclass(slots=True)
class Ask:
    """What every provider's request boils down to."""

    model: str = ""
    text: str = ""  # of the last user message that has some
    prompt_tokens: int = 0  # whitespace words of everything sent
    stream: bool = False
    key: str = ""
    tool: ToolCall | None = None  # the call to answer with
    schema: Json | None = None  # {} means any JSON
    include_usage: bool = True  # in a stream
    fixed: Json | None = None  # a side request (a list of models): this body, never billed
    variant: str = ""  # for a format with more than one endpoint


@dataclass(slots=True)
class Usage:
    """Tokens; cached and written ones are part of the input, reasoning is part of the output."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


_ids = itertools.count(1)


@dataclass(slots=True)
class Answer:
    """What is said. `usage` is what the client is told, `billed` what the answer really cost."""

    id: str
    model: str
    text: str | None
    usage: Usage | None
    billed: Usage
    finish: str | None = "stop"  # OpenAI's words: stop, length, tool_calls, content_filter
    tool_calls: list[ToolCall] = field(default_factory=list)
    thinking: str = ""
    raw_usage: Json | None = None  # told as it is, in place of `usage`
    usage_with_finish: bool = False  # in an OpenAI stream: where mistral and others put it, asked or not
    service: str = "default"  # the tier that an OpenAI answer names
    choices: bool = True  # False: a list of zero answers

    @classmethod
    def to(cls, ask: Ask) -> Answer:
        """The answer of a healthy provider."""
        calls = [ask.tool] if ask.tool else []
        text = None if calls else _said(ask)
        usage = Usage(ask.prompt_tokens, words(text or "") + sum(words(call.arguments) for call in calls))
        finish = "tool_calls" if calls else "stop"
        return cls(f"{next(_ids):08d}", ask.model, text, usage, usage, finish, calls)

    def say(self, text: str) -> None:
        """Answer with that text, and bill its words."""
        self.text = text
        self.tool_calls = []
        self.finish = "stop"
        self.billed.output_tokens = words(text)


@dataclass(slots=True)
class Event:
    """One event of a stream, framed as the provider does."""

    data: bytes
    kind: EventKind = "text"


def words(text: str) -> int:
    """The tokens of this server: whitespace words."""
    return len(text.split())


def last_text(texts: Iterable[str]) -> str:
    """The last text that is not empty, else nothing."""
    return next((text for text in reversed(list(texts)) if text), "")


def pieces(text: str) -> list[str]:
    """The text a word at a time, with the white space that follows; joined they are the text."""
    return re.findall(r"^\s+|\S+\s*", text)


def _said(ask: Ask) -> str:
    if ask.schema is None:
        return f"echo: {ask.text}"
    value = example(ask.schema) if ask.schema else {"echo": ask.text}
    return orjson.dumps(value).decode()
