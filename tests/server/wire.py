"""From an answer to bytes: `Reply` is status, headers and body; `Wire` is what is done to the socket."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

import orjson

from .answer import Answer, Ask, Event, Failure, Usage
from .formats import Format

JSON_TYPE = "application/json"

Framing = Literal["length", "chunked", "close"]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before the next step."""

    seconds: float


class End(enum.Enum):
    """The connection ends here: by a reset (RST) or cleanly (FIN)."""

    RESET = enum.auto()
    CLOSE = enum.auto()


Step = bytes | Pause | End

STALL = Pause(86_400.0)  # nothing more comes; the client has to give up
SETTLE = Pause(0.05)  # lets the client read what was sent before a reset overtakes it


@dataclass(slots=True)
class Reply:
    """An HTTP response. A stream has `events` and no body of its own."""

    ask: Ask
    format: Format
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON_TYPE
    body: bytes = b""
    events: list[Event] | None = None
    billed: Usage | None = None
    framing: Framing = "length"
    length_lie: int = 0  # added to the true Content-Length
    ending: tuple[Step, ...] = ()  # in place of a stream's last chunk

    @classmethod
    def of(cls, ask: Ask, form: Format, answer: Answer) -> Reply:
        """The answer in the provider's format, streamed where that was asked."""
        reply = cls(ask, form, headers={"x-request-id": f"req_{answer.id}"})
        if ask.fixed is not None:
            reply.body = orjson.dumps(ask.fixed)
            return reply
        reply.billed = answer.billed
        if ask.stream:
            reply.events = form.events(ask, answer)
            reply.content_type = form.STREAM_TYPE
            reply.framing = "chunked"
        else:
            reply.body = orjson.dumps(form.body(ask, answer))
        return reply

    @classmethod
    def failed(cls, ask: Ask, form: Format, failure: Failure) -> Reply:
        """An error in the provider's format."""
        reply = cls(ask, form)
        reply.fail(failure)
        return reply

    def fail(self, failure: Failure) -> None:
        """Turn into an error, which is never billed; headers already set stay."""
        self.status, body = self.format.error(self.ask, failure)
        self.replace(orjson.dumps(body))

    def replace(self, body: bytes, content_type: str = JSON_TYPE) -> None:
        """Another body in one piece, which is never billed."""
        self.body, self.content_type = body, content_type
        self.events, self.billed = None, None
        self.framing = "length"

    def edit(self, change: Callable[[bytes], bytes]) -> None:
        """Change the body; a stream's events become one piece."""
        self.body = change(self.whole())
        self.events = None

    def whole(self) -> bytes:
        """The body in one piece."""
        return self.body if self.events is None else b"".join(event.data for event in self.events)

    def head(self, size: int) -> bytes:
        """Status line and headers of a body of `size` bytes."""
        lines = [f"HTTP/1.1 {self.status} {_reason(self.status)}", f"Content-Type: {self.content_type}"]
        if self.framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
        elif self.framing == "length":
            lines.append(f"Content-Length: {max(0, size + self.length_lie)}")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


@dataclass(slots=True)
class Wire:
    """What is done to the socket. The first step is the head, the others are the body."""

    steps: list[Step]
    ends: bool = False  # the client asked for `Connection: close`, or only the end of it ends the body

    @classmethod
    def of(cls, reply: Reply) -> Wire:
        """The reply's bytes, framed; a step for each event of a stream."""
        parts = [reply.body] if reply.events is None else [event.data for event in reply.events]
        head = reply.head(sum(map(len, parts)))
        if reply.framing == "chunked":
            parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part]
            if not reply.ending:
                parts.append(b"0\r\n\r\n")
        return cls([head, *parts, *reply.ending], ends=reply.framing == "close")

    def size(self) -> int:
        """How many bytes are sent."""
        return sum(len(step) for step in self.steps if isinstance(step, bytes))

    def first_half(self) -> list[Step]:
        """The head and half of the body's bytes, in one piece."""
        body = b"".join(step for step in self.steps[1:] if isinstance(step, bytes))
        return [self.steps[0], body[: len(body) // 2]]


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded" if status == 529 else "Unknown"
