"""The one layer that retries: how often, how long it waits, and when it gives up."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmctl.core.errors import (
    AuthError,
    BadRequest,
    Interrupted,
    LlmctlError,
    RateLimited,
    ServerError,
    UnknownHost,
)
from llmctl.core.model import Attempt, Request, Response, Target, Timeouts
from llmctl.core.profile import RetryRule
from llmctl.stages.retry import retry, spell

MODEL = "openai/m"
Step = LlmctlError | Response | Callable[[Request], Response]


@dataclass
class Sleeper:
    """A clock that notes the waits and does not wait."""

    slept: list[float] = field(default_factory=list)
    wake: LlmctlError | None = None

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.wake is not None:
            raise self.wake


def attempt(error: str | None = None, cost: int | None = 5) -> Attempt:
    return Attempt(MODEL, 0.0, 0.1, error, billed="yes" if error is None else "unknown", cost=cost)


def good(cost: int | None = 5) -> Response:
    return Response("hi", MODEL, tried=(attempt(cost=cost),), cost=cost)


def failing(error: LlmctlError, cost: int | None = 0) -> LlmctlError:
    error.tried = (attempt(error.type, cost),)
    return error


def run(
    steps: Iterator[Step] | list[Step],
    rule: RetryRule | None = None,
    clock: Sleeper | None = None,
    chance: random.Random | None = None,
    **more: Any,
) -> Response:
    """A call whose attempts end as the steps say."""
    left = iter(steps)
    target = Target("main", MODEL, "openai", timeouts=more.pop("timeouts", Timeouts(total=30)))

    async def send(request: Request) -> Response:
        assert request.deadline is not None
        step = next(left)
        if isinstance(step, LlmctlError):
            raise failing(step)
        if isinstance(step, Response):
            return step
        return step(request)

    stage = retry(send, rule or RetryRule(), clock or Sleeper(), chance or random.Random(1))
    response: Response = asyncio.run(_call(stage, Request(target, (), **more)))
    return response


async def _call(stage: Any, request: Request) -> Response:
    response: Response = await stage(request)
    return response


def test_what_passes_is_tried_again_and_all_attempts_are_paid() -> None:
    """The answer's cost is what the call cost, not what its last attempt did."""
    clock = Sleeper()
    response = run([ServerError("a"), RateLimited("b"), good()], clock=clock)
    assert [each.error for each in response.tried] == ["server_error", "rate_limit", None]
    assert (response.cost, len(clock.slept)) == (5, 2)
    assert run([good()]).attempts == 1


def test_one_unknown_cost_makes_the_whole_unknown() -> None:
    """A sum with a hole in it is no sum."""
    left: list[LlmctlError | Response] = [ServerError("a"), good()]

    async def send(request: Request) -> Response:
        step = left.pop(0)
        if isinstance(step, LlmctlError):
            raise failing(step, None)
        return step

    stage = retry(send, RetryRule(), Sleeper(), random.Random(1))
    assert asyncio.run(_call(stage, Request(Target("m", MODEL, "openai"), ()))).cost is None


@pytest.mark.parametrize("error", [AuthError("a"), BadRequest("b")])
def test_what_does_not_pass_is_tried_once(error: LlmctlError) -> None:
    """The same request gets the same refusal."""
    with pytest.raises(type(error)) as caught:
        run([error])
    assert len(caught.value.tried) == 1


@pytest.mark.parametrize(("error", "attempts"), [(ServerError, 4), (UnknownHost, 2)])
def test_attempts_are_limited(error: type[LlmctlError], attempts: int) -> None:
    """By the profile, and by the kind where more would be pointless; the last error tells of all."""
    made = [error(str(number)) for number in range(9)]
    with pytest.raises(error) as caught:
        run(list(made), RetryRule(attempts=4))
    assert caught.value is made[attempts - 1]
    assert len(caught.value.tried) == attempts


def test_nothing_is_tried_again_once_text_was_shown() -> None:
    """It would be shown twice."""

    def talk(request: Request) -> Response:
        assert request.on_text is not None
        request.on_text("he")
        raise failing(ServerError("cut"))

    shown: list[str] = []
    with pytest.raises(ServerError) as caught:
        run([talk], on_text=shown.append)
    assert (shown, len(caught.value.tried)) == (["he"], 1)


@settings(deadline=None)
@given(
    st.integers(1, 8),
    st.floats(0, 5),
    st.floats(1, 4),
    st.floats(0, 10),
    st.integers(0, 10_000),
)
def test_waits_have_full_jitter_under_a_cap(
    attempts: int, base: float, factor: float, cap: float, seed: int
) -> None:
    """Workers that failed together must not come back together, nor ever wait longer than allowed."""
    clock = Sleeper()
    rule = RetryRule(attempts=attempts, base=base, factor=factor, cap=cap)
    with pytest.raises(ServerError):
        run(
            [ServerError("x") for _ in range(attempts)],
            rule,
            clock,
            random.Random(seed),
            timeouts=Timeouts(total=1e9),
        )
    assert len(clock.slept) == attempts - 1
    assert all(0 <= wait <= min(cap, base * factor**number) for number, wait in enumerate(clock.slept))


@settings(deadline=None)
@given(st.floats(0.01, 1000), st.integers(0, 1000))
def test_the_providers_word_is_kept(asked: float, seed: int) -> None:
    """Never sooner than asked for, and not much later."""
    clock = Sleeper()
    steps: list[Step] = [RateLimited("slow", retry_after=asked), good()]
    run(steps, clock=clock, chance=random.Random(seed), timeouts=Timeouts(total=1e9))
    assert asked <= clock.slept[0] <= asked * 1.1 + 1e-9


def test_a_wait_of_zero_seconds_is_our_own_back_off() -> None:
    """`Retry-After: 0` from a crowded server is no invitation to hammer it."""
    clock = Sleeper()
    run([RateLimited("now", retry_after=0.0), good()], RetryRule(base=2), clock)
    assert clock.slept[0] > 0


def test_a_wait_beyond_the_deadline_is_refused_at_once() -> None:
    """With the time to come back, in the message and for scripts."""
    clock = Sleeper()
    with pytest.raises(RateLimited) as caught:
        run([RateLimited("slow", retry_after=3600)], clock=clock)
    assert (clock.slept, caught.value.retry_after) == ([], 3600)
    assert "come back in 60 min" in caught.value.hint and "30 s" in caught.value.hint


def test_no_request_goes_out_when_its_wait_would_use_up_the_time() -> None:
    """It could only be cut off, and be paid for."""
    clock = Sleeper()
    with pytest.raises(ServerError) as caught:
        run([ServerError("x")], RetryRule(base=1e6, cap=1e6), clock, timeouts=Timeouts(total=0.5))
    assert (clock.slept, len(caught.value.tried)) == ([], 1)


def test_an_interrupted_wait_tells_what_was_tried() -> None:
    """Ctrl-C between two attempts: the first one was sent, and may be billed."""
    with pytest.raises(Interrupted) as caught:
        run([ServerError("x")], clock=Sleeper(wake=Interrupted(2)))
    assert [each.error for each in caught.value.tried] == ["server_error"]


def test_a_cancelled_attempt_tells_what_was_tried_before() -> None:
    """The ledger needs all of them."""

    def cancelled(request: Request) -> Response:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError) as caught:
        run([ServerError("x"), cancelled])
    assert [each.error for each in vars(caught.value)["tried"]] == ["server_error"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.5 s"), (45, "45 s"), (180, "3 min"), (3600, "60 min"), (9000, "2.5 h")]
)
def test_spans_are_told_to_people(seconds: float, text: str) -> None:
    """Nobody reads 9000 s."""
    assert spell(seconds) == text


def test_a_wait_beyond_all_numbers_is_the_longest() -> None:
    """Every bound of the profile allows it: 10,000 to the power of 98 is no float any more."""
    clock = Sleeper()
    rule = RetryRule(attempts=100, base=0.001, cap=0.001, factor=10_000.0)
    assert run([*(ServerError("x") for _ in range(99)), good()], rule, clock).attempts == 100
    assert max(clock.slept) <= 0.001
