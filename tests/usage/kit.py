"""Ledgers for tests: calls at chosen times, written by the ledger itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from llmctl.core.errors import LlmctlError, ServerError
from llmctl.core.model import Attempt, Request, Response, Target, Usage
from llmctl.usage.ledger import SqliteLedger


@dataclass
class At:
    """A clock that stands where it is put."""

    time: float = 0.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


def when(text: str, zone: str = "UTC") -> float:
    """Unix seconds of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@dataclass
class Kit:
    """Writes calls into one ledger. Every call has a number of its own, from 1 on."""

    path: Path
    group: bool = False
    clock: At = field(default_factory=At)

    def __post_init__(self) -> None:
        self.ledger = SqliteLedger(self.path, self.clock, lambda: "book-1", group=self.group)
        self.number = 0

    def request(self, model: str = "openai/a", **given: Any) -> Request:
        self.number += 1
        target = Target("main", model, model.partition("/")[0])
        fixed = {"call": self.number, "run_id": "r", "profile": "dev", "fingerprint": "f" * 64}
        return Request(target, ({"role": "user", "content": "hi"},), **{**fixed, **given})

    def call(
        self,
        at: float,
        *,
        latency: float = 1.0,
        cost: int | None = 1000,
        hit: str | None = None,
        error: LlmctlError | None = None,
        usage: Usage = Usage(10, 5, 2, 1),  # noqa: B008  # frozen
        ttft: float | None = None,
        **given: Any,
    ) -> Request:
        """One call that began at `at` and took `latency` seconds, its one attempt included."""
        request = self.request(**given)
        self.clock.time = at
        tried: tuple[Attempt, ...] = ()
        if hit is None:
            row = self.ledger.sent(request)
            billed = "no" if error else "yes"
            tried = (
                Attempt(request.target.model, at, latency, error and error.type, None, billed, cost),  # type: ignore[arg-type]
            )
            self.ledger.settled(row, tried[0])
        self.clock.time = at + latency
        outcome: Response | LlmctlError
        if error:
            outcome = error
            outcome.tried = tried
        else:
            outcome = Response(
                "hello",
                request.target.model,
                usage=usage,
                cost=0 if hit else cost,
                saved=cost if hit else 0,
                cached=hit,  # type: ignore[arg-type]
                ttft=ttft,
                tried=tried,
            )
        self.ledger.record(request, outcome, latency)
        return request

    def failed(self, at: float, **given: Any) -> Request:
        return self.call(at, error=ServerError("no"), cost=0, **given)

    def done(self) -> Path:
        """Closes the ledger, and says where it is."""
        self.ledger.close()
        return self.path
