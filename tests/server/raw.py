"""A client of raw bytes, to see what really is on the wire."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

QUIET = 0.4  # seconds without a byte after which a connection counts as left open

TEXT = "one two three four"  # the default answer to it has 5 words: "echo: one two three four"
KEY = "sk-" + "x" * 20

PATHS = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/gemini-2.5-flash:generateContent",
    "ollama": "/api/chat",
}
HEADERS = {
    "openai": {"Authorization": f"Bearer {KEY}"},
    "anthropic": {"x-api-key": KEY, "anthropic-version": "2023-06-01"},
    "gemini": {"x-goog-api-key": KEY},
    "ollama": {},
}


def ask(
    provider: str = "openai", text: str = TEXT, *, stream: bool = False, **more: Any
) -> tuple[str, dict[str, Any]]:
    """The path and body of a plain question in the provider's format; `more` goes into the body."""
    messages = [{"role": "user", "content": text}]
    if provider == "gemini":
        path = PATHS["gemini"].replace(":g", ":streamG") + "?alt=sse" if stream else PATHS["gemini"]
        return path, {"contents": [{"role": "user", "parts": [{"text": text}]}], **more}
    body: dict[str, Any] = {"model": "some-model", "messages": messages, "stream": stream}
    if provider == "openai" and stream:
        body["stream_options"] = {"include_usage": True}
    if provider == "anthropic":
        body["max_tokens"] = 100
    return PATHS[provider], body | more


@dataclass
class Heard:
    """All that came back, and how the connection was left."""

    raw: bytes
    end: Literal["closed", "reset", "open"]
    seconds: float

    @property
    def head(self) -> str:
        return self.raw.partition(b"\r\n\r\n")[0].decode("latin-1")

    @property
    def status(self) -> int:
        return int(self.head.split(" ")[1])

    @cached_property
    def headers(self) -> dict[str, str]:
        pairs = (line.partition(": ") for line in self.head.split("\r\n")[1:])
        return {name.lower(): value for name, _, value in pairs}

    @property
    def length(self) -> int:
        return int(self.headers["content-length"])

    @property
    def chunked(self) -> bool:
        return self.headers.get("transfer-encoding") == "chunked"

    @cached_property
    def body(self) -> bytes:
        """The body as far as it came, without the chunks' frames."""
        body = self.raw.partition(b"\r\n\r\n")[2]
        if not self.chunked:
            return body
        whole = b""
        while body:
            size, _, rest = body.partition(b"\r\n")
            whole += rest[: int(size, 16)]
            body = rest[int(size, 16) + 2 :]
        return whole

    @property
    def whole(self) -> bool:
        """Did everything come that the framing promised?"""
        return self.raw.endswith(b"0\r\n\r\n") if self.chunked else len(self.body) == self.length

    @cached_property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json["error"]
        return error

    @property
    def choice(self) -> dict[str, Any]:
        """OpenAI's first choice."""
        choice: dict[str, Any] = self.json["choices"][0]
        return choice

    @property
    def text(self) -> Any:
        """The text of OpenAI's answer, also of one that was streamed."""
        if not self.events:
            return self.choice["message"]["content"]
        deltas = [each["choices"][0]["delta"] for each in self.chunks if each.get("choices")]
        return "".join(delta.get("content") or "" for delta in deltas)

    @cached_property
    def events(self) -> list[str]:
        """What stands behind `data: ` in a stream."""
        lines = self.body.decode().splitlines()
        return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]

    @property
    def chunks(self) -> list[Any]:
        """The events that are JSON."""
        found = []
        for event in self.events:
            try:
                found.append(json.loads(event))
            except ValueError:
                continue
        return found

    @property
    def finishes(self) -> list[str]:
        """The finish reasons of OpenAI's stream."""
        reasons = [choice["finish_reason"] for each in self.chunks for choice in each.get("choices", ())]
        return [reason for reason in reasons if reason]


def talk(
    port: int, path: str, body: Any = None, headers: dict[str, str] | None = None, *, keep: bool = False
) -> Heard:
    """Send one request (a POST where there is a body) and listen until the connection ends or falls quiet.

    Without `keep` the server is asked to close after its answer, so that silence is never waited for.
    """
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += [f"Content-Length: {len(data)}", f"Connection: {'keep-alive' if keep else 'close'}", "", ""]
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall("\r\n".join(lines).encode() + data)
        return listen(connection)


def listen(connection: socket.socket) -> Heard:
    """Read until the connection ends or falls quiet."""
    began = time.monotonic()
    heard: list[bytes] = []
    connection.settimeout(QUIET)
    end: Literal["closed", "reset", "open"] = "closed"
    try:
        while data := connection.recv(1 << 20):
            heard.append(data)
    except TimeoutError:
        end = "open"
    except ConnectionResetError:
        end = "reset"
    return Heard(b"".join(heard), end, time.monotonic() - began)
