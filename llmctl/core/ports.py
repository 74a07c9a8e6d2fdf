"""What the stages need from the world, as protocols; `services` picks who plays each part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

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

    def set(self, key: str, response: Response, request: Request | None = None) -> None:
        """`request`: what was asked, so that it can be told later what differs from it."""
        ...


class Ledger(Protocol):
    """The record of every call and of every request that went out for it.

    `sent` stands in the ledger before a byte leaves, so that a killed process leaves a trace of
    what it may have paid for. StorageError where the ledger cannot be written.
    """

    def sent(self, request: Request) -> int: ...

    def settled(self, row: int, attempt: Attempt) -> None: ...

    def record(self, request: Request, outcome: Response | LlmctlError, latency: float) -> None: ...


class Log(Protocol):
    """Events by level (`debug`, `info`, `warning`, `error`), for machines. It never raises."""

    def wants(self, level: str) -> bool: ...

    def event(self, level: str, event: str, **fields: Any) -> None:
        """Fields hold no text of the user, unless the profile asks for it; keys are masked here."""
        ...


class HttpCall(NamedTuple):
    """One request, ready to be sent. `headers` hold the key: never logged, never in an error."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"

    def __repr__(self) -> str:
        return f"HttpCall({self.method} {self.url})"


class HttpAnswer(NamedTuple):
    """A 200 with its headers (lower-case names) and its whole body."""

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


@dataclass(frozen=True, slots=True)
class Account:
    """A counter with its ceiling; forgotten some time after `until` (Unix seconds; None: never)."""

    key: str
    ceiling: int
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Full:
    """The account that refused a hold, and what stood in it."""

    account: Account
    value: int


@dataclass(frozen=True, slots=True)
class Held:
    """An amount that is counted in the accounts of `keys` and not settled yet; `sent`: it may be owed."""

    keys: tuple[str, ...]
    amount: int
    sent: bool


class Traded(NamedTuple):
    """What a trade came to: the hold (0: it holds nothing any more), which amounts were taken, the counters.

    `full` is the first refusal, None where all was taken.
    """

    hold: int
    taken: Sequence[bool]
    values: Mapping[str, int]
    full: Full | None = None


class State(Protocol):
    """Counters that outlive the process and are shared by all that run on the same state.

    Every verb is atomic across processes. Amounts are integers; StorageError where the state cannot
    be read or written, and then nothing was changed.
    """

    def get(self, key: str) -> int | None:
        """None: never set, or expired."""
        ...

    def set(self, key: str, value: int, *, ttl: float | None = None) -> None: ...

    def delete(self, key: str) -> None: ...

    def add(
        self, key: str, amount: int, *, ceiling: int | None = None, ttl: float | None = None
    ) -> int | None:
        """The new value; None where it would pass the ceiling, and nothing is added.

        `ttl` seconds run from the first add, after them the counter starts anew. So it does where its
        end is further off than `ttl`: the clock was set back.
        """
        ...

    def hold(
        self, accounts: Sequence[Account], amount: int, lease: float, *, sent: bool = False
    ) -> int | Full:
        """Adds to all accounts or to none, and gives a number for `sent` and `settle`.

        What is not `sent` within `lease` seconds, or before its process dies, is taken back. With
        `sent` it counts as sent from the beginning.
        """
        ...

    def sent(self, hold: int) -> bool:
        """From now on the amount stays counted until it is settled; False: it was taken back before."""
        ...

    def settle(self, hold: int, actual: int) -> Mapping[str, int]:
        """Puts the actual amount in the place of the one held (0 gives all back); the new values.

        A hold that was taken back meanwhile is left alone.
        """
        ...

    def trade(
        self, hold: int, accounts: Sequence[Account], wanted: Sequence[int], *, back: int = 0, spent: int = 0
    ) -> Traded:
        """Many holds and settlements on the same accounts at once: one hold that grows and shrinks.

        First `back` of what it holds is settled, with `spent` in its place; then each of `wanted` is added
        in turn, where it fits under every ceiling, and counts as sent. `hold` 0 begins a new one. From a
        hold that was taken back meanwhile nothing comes back.
        """
        ...

    def held(self) -> list[Held]:
        """What is not settled yet, without what dead processes had held and not sent."""
        ...

    def find(self, prefix: str) -> Mapping[str, int]:
        """The counters whose keys begin with `prefix`, without those that have expired."""
        ...

    def close(self) -> None: ...
