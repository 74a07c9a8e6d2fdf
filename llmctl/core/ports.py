"""What the stages need from the world, as protocols; `services` picks who plays each part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from llmctl.core.errors import LlmctlError
from llmctl.core.model import Attempt, Request, Response


class Clock(Protocol):
    """Time: `now` in Unix seconds, `monotonic` in seconds that never go back."""

    def now(self) -> float: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class Random(Protocol):
    """Chance: a float in [0, 1)."""

    def random(self) -> float: ...


class Cache(Protocol):
    """Answers by fingerprint. A broken cache answers None and keeps quiet after one warning."""

    def get(self, key: str) -> Response | None: ...

    def set(self, key: str, response: Response) -> None: ...


class Ledger(Protocol):
    """The record of every call and of every request that went out for it.

    `sent` stands in the ledger before a byte leaves, so that a killed process leaves a trace of
    what it may have paid for. StorageError where the ledger cannot be written.
    """

    def sent(self, request: Request) -> int: ...

    def settled(self, row: int, attempt: Attempt) -> None: ...

    def record(self, request: Request, outcome: Response | LlmctlError, latency: float) -> None: ...


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One POST, ready to be sent. `headers` hold the key: never logged, never in an error."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class StreamDecoder(Protocol):
    """Reads one stream: `feed` takes the data of an event and gives the new text, if any."""

    def feed(self, data: bytes) -> str: ...

    def finish(self) -> Response:
        """The whole answer. BrokenStream where the stream ended without a finish reason."""
        ...

    def partial(self) -> Response:
        """What has come so far, for an answer that will not end."""
        ...


class Codec(Protocol):
    """A provider's format: from our Request to its HTTP call, from its answer to our Response.

    `decode` and `feed` raise our errors for answers that are none: error objects in a 200, no
    choices, refused content. Statuses other than 200 are `providers.classify`'s matter.
    """

    def encode(self, request: Request, key: str | None) -> HttpCall: ...

    def decode(self, request: Request, body: bytes) -> Response: ...

    def stream(self, request: Request) -> StreamDecoder: ...


class Judge(Protocol):
    """Says whether an answer that arrived whole is one, and completes what an error says."""

    def answer(self, request: Request, response: Response) -> Response:
        """With a usable usage. ContentRefused, EmptyAnswer where it is no answer."""
        ...

    def error(self, request: Request, error: LlmctlError, key: str | None) -> None:
        """Takes out of its message what it repeats of key and prompt, and adds what is known here."""
        ...


class Provider(Protocol):
    """Sends one request once, with one key (None where the endpoint needs none)."""

    async def send(self, request: Request, key: str | None) -> Response: ...

    async def close(self) -> None: ...
