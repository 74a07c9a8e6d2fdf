"""The state file cannot be written once a request is out: its answer, or its own error, still comes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmctl.core.errors import AuthError, LlmctlError, RateLimited, ServerError, StorageError
from llmctl.core.model import Attempt, Quota, Request, Response, Send, Target
from llmctl.core.profile import BreakerRule
from llmctl.machine import SystemClock
from llmctl.resilience.circuit import Circuits
from llmctl.resilience.pace import Limits, Paces
from llmctl.resilience.pool import Pools
from llmctl.resilience.shared import SharedState
from llmctl.stages.breaker import breaker
from llmctl.stages.keys import keys
from llmctl.stages.rate import rate
from llmctl.state.sqlite import SqliteState

TARGET = Target("main", "openai/m", "openai", "http://127.0.0.1:1/v1", ("env:A", "env:B"))
ASKED = Request(TARGET, ({"role": "user", "content": "hello"},))
HEADERS = {"x-ratelimit-remaining-requests": "0"}


class Desk:
    """The three stages over one file, which another process holds as soon as a request is out."""

    def __init__(self, folder: Path) -> None:
        self.clock = SystemClock()
        self.warnings: list[str] = []
        self.state = SqliteState(folder / "state.db", self.clock.now, wait=0.05)
        self.state.set("made", 1)
        self.other = sqlite3.connect(folder / "state.db", isolation_level=None)
        self.tries = 0
        self.sent = 0
        shared = SharedState(self.used, self.clock, self.warnings.append)
        self.circuits = Circuits(BreakerRule(failures=1), shared, self.clock)
        self.paces = Paces(Limits(tpm=1e6), shared, self.clock, self.low, self.warnings.append)
        self.pools = Pools(shared, self.clock)

    def used(self) -> SqliteState:
        self.tries += 1
        return self.state

    def low(self, headers: object) -> list[Quota]:
        return [Quota(left=0, reset=5.0, tokens=False)]

    def ask(self, outcome: Response | LlmctlError) -> Response:
        async def asking() -> Response:
            return await self.pipeline(outcome)(ASKED)

        return asyncio.run(asking())

    def pipeline(self, outcome: Response | LlmctlError) -> Send:
        async def send(request: Request) -> Response:
            self.sent += 1
            if not self.other.in_transaction:
                self.other.execute("BEGIN IMMEDIATE")
            if isinstance(outcome, LlmctlError):
                outcome.tried = (Attempt("openai/m", 0.0, 0.1, outcome.type),)
                raise outcome
            return outcome

        async def ready(target: Target) -> None: ...

        paced = rate(send, self.paces, lambda request: None, ready)
        return breaker(keys(paced, self.pools, self.clock), self.circuits, self.clock, patient=False)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.other.close()
    made.state.close()


ANSWER = Response("dear", "openai/m", cost=5, headers=HEADERS)


def test_a_paid_answer_comes_though_nothing_can_be_learned_from_it(desk: Desk) -> None:
    """Else it would be lost, and paid again: tokens given back and quotas told are only notes."""
    assert desk.ask(ANSWER).text == "dear"
    (warning,) = desk.warnings
    assert "state.db" in warning


def test_what_is_not_sent_yet_is_refused_as_before(desk: Desk) -> None:
    """Without the state nobody knows whose turn it is."""
    desk.ask(ANSWER)
    with pytest.raises(StorageError):
        desk.ask(ANSWER)
    assert desk.sent == 1


@pytest.mark.parametrize("error", [ServerError("down", status=503), RateLimited("later", status=429)])
def test_the_providers_own_error_comes(desk: Desk, error: LlmctlError) -> None:
    """It says whether to try again, and what may be billed."""
    with pytest.raises(type(error)):
        desk.ask(error)
    assert len(desk.warnings) == 1


def test_a_refused_key_is_followed_by_the_next(desk: Desk) -> None:
    """That it was refused is known here, also where the state does not take it."""
    desk.paces.limits = Limits()
    with pytest.raises(AuthError, match="every key was refused"):
        desk.ask(AuthError("wrong", status=401))
    assert desk.sent == 2


@pytest.mark.parametrize("marks", ["breaker", "pool"])
def test_a_breaker_or_a_key_that_had_failed_before(desk: Desk, marks: str) -> None:
    """The answer that shows them well again is not lost with the note of it."""
    desk.paces.limits = Limits()
    if marks == "breaker":
        desk.state.set(f"{desk.circuits.of(TARGET)._key}/down", 1)
    else:
        error = AuthError("wrong", status=401)
        pool = desk.pools.of(TARGET)
        for key in pool.keys:
            pool.ended(key, error)
        desk.pools = Pools(desk.pools.state, desk.clock)
    assert desk.ask(ANSWER).text == "dear"
    assert len(desk.warnings) == 1


def test_a_file_that_stays_locked_is_not_waited_for_each_time(desk: Desk) -> None:
    """A batch has many answers on their way: each would hold up all others for the whole wait."""
    shared = desk.pools.state
    desk.other.execute("BEGIN IMMEDIATE")
    for _ in range(3):
        shared.learn(lambda: desk.used().set("x", 1))
    assert (desk.tries, len(desk.warnings)) == (1, 1)
