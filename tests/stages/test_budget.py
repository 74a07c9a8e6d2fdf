"""What the stage sets aside, keeps and gives back, attempt by attempt."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmctl.core.errors import BudgetError, ConfigError, Interrupted, ServerError, StorageError
from llmctl.core.model import Attempt, Request, Response, Send, Target
from llmctl.core.ports import Account, State, Traded
from llmctl.core.profile import BudgetRule
from llmctl.stages.budget import budget
from llmctl.state.memory import MemoryState
from llmctl.state.sqlite import SqliteState
from llmctl.usage.budgets import Budget, MaxCost
from llmctl.usage.desk import LEASE_S, Desk
from llmctl.usage.purses import Purse

REQUEST = Request(Target("main", "openai/gpt-4o-mini", "openai"), ())
MOST = 100


def ask(answer: Awaitable[Response]) -> Response:
    """The answer, out of an event loop of its own."""

    async def wait() -> Response:
        return await answer

    return asyncio.run(wait())


class Clock:
    """A clock that tests turn; waking is what a signal does."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0
        self.woken = False

    def now(self) -> float:
        return self.time

    monotonic = now

    async def sleep(self, seconds: float) -> None:
        if self.woken:
            raise Interrupted(2)


class Provider:
    """Stands where the provider stage does: marks what goes out, then answers as it is told."""

    def __init__(self, *ends: int | BaseException | Callable[[], Awaitable[int]]) -> None:
        self.ends = list(ends)
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        end = self.ends.pop(0) if self.ends else 10
        if isinstance(end, ConfigError):
            raise end
        if request.on_sent is not None:
            request.on_sent()
        self.requests.append(request)
        if isinstance(end, ServerError):
            cost = {"no": 0, "unknown": request.reserved, "yes": 40}[end.billed]
            end.tried = (Attempt("m", 0, 0, error="server_error", billed=end.billed, cost=cost),)
        if isinstance(end, BaseException):
            raise end
        cost = end if isinstance(end, int) else await end()
        return Response("hi", "m", tried=(Attempt("m", 0, 0, cost=cost),), cost=cost)


class Setting:
    """A stage over a state, and what came of it."""

    def __init__(self, *rules: BudgetRule, state: State | None = None, most: int = MOST) -> None:
        self.clock = Clock()
        self.state = state or MemoryState(self.clock.now)
        self.budgets = [Budget(rule) for rule in rules]
        self.purses: Sequence[Purse] = [Purse(self.budgets, lambda: self.state)]
        self.warnings: list[str] = []
        self.most = most
        self.group = False

    def stage(self, next: Send) -> Send:
        return budget(next, self.desk(), lambda request: self.most)

    def desk(self) -> Desk:
        return Desk(self.purses, self.clock, self.warnings.append, group=self.group)

    @property
    def value(self) -> int:
        return self.state.get(self.budgets[0].account(self.clock.now()).key) or 0


def day(limit: int, **more: object) -> BudgetRule:
    return BudgetRule(limit=limit, per="day", **more)  # type: ignore[arg-type]  # fields of the rule


def test_without_budgets_the_stage_is_not_there() -> None:
    """What nobody asked for costs nothing."""
    provider = Provider()
    assert budget(provider, None, lambda _: 1) is provider


def test_it_reserves_the_most_and_settles_with_the_cost() -> None:
    """While it is out the most is counted, afterwards what it cost."""
    setting = Setting(day(1000))

    async def look() -> int:
        assert setting.value == MOST
        assert [held.sent for held in setting.state.held()] == [True]
        return 30

    ask(setting.stage(Provider(look))(REQUEST))
    assert setting.value == 30
    assert setting.state.held() == []


def test_tags_without_a_budget_are_not_remembered() -> None:
    """A batch may have a tag of its own for every row: memory must not grow with them."""
    setting = Setting(day(1000), day(500, tag="known"))
    desk = setting.desk()
    others = [replace(REQUEST, tag=f"customer {number}") for number in range(10_000)]
    desk.counts(others.pop())
    tracemalloc.start()
    assert all(desk.counts(each) for each in others)
    assert tracemalloc.get_traced_memory()[0] < 100_000
    tracemalloc.stop()


def test_what_would_pass_the_limit_is_not_sent() -> None:
    """The reservation counts, not the hope that it will be cheaper."""
    setting = Setting(day(150))
    provider = Provider(60, 60)
    send = setting.stage(provider)
    ask(send(REQUEST))
    with pytest.raises(BudgetError) as caught:
        ask(send(REQUEST))
    assert len(provider.requests) == 1
    assert setting.value == 60
    assert caught.value.exit_code == 6
    assert not caught.value.retryable
    assert "2027-01-16T00:00:00+00:00" in caught.value.hint


@pytest.mark.parametrize(("billed", "kept"), [("no", 0), ("unknown", MOST), ("yes", 40)])
def test_a_failed_attempt_keeps_what_may_have_been_billed(billed: str, kept: int) -> None:
    """A provider that charges for a broken stream is charged against the budget too."""
    setting = Setting(day(1000))
    with pytest.raises(ServerError):
        ask(setting.stage(Provider(ServerError("x", billed=billed)))(REQUEST))  # type: ignore[arg-type]  # a Billed
    assert setting.value == kept
    assert setting.state.held() == []


def test_each_attempt_keeps_its_own() -> None:
    """Two attempts that may have been billed are two bills."""
    setting = Setting(day(1000))
    send = setting.stage(Provider(ServerError("x", billed="unknown"), 30))
    with pytest.raises(ServerError):
        ask(send(REQUEST))
    ask(send(REQUEST))
    assert setting.value == MOST + 30


def test_what_never_went_out_is_free_again() -> None:
    """A key that cannot be read costs nothing."""
    setting = Setting(day(1000))
    with pytest.raises(ConfigError):
        ask(setting.stage(Provider(ConfigError("no key")))(REQUEST))
    assert setting.value == 0
    assert setting.state.held() == []


def test_a_cancelled_request_stays_counted_once_it_is_out() -> None:
    """It is on the provider's desk: nobody knows whether it will be billed."""
    setting = Setting(day(1000))

    async def forever() -> int:
        await asyncio.sleep(3600)
        return 0

    async def go() -> None:
        task = asyncio.ensure_future(setting.stage(Provider(forever))(REQUEST))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())
    assert setting.value == MOST


def test_an_unknown_cost_is_what_was_reserved() -> None:
    """Unknown is not free."""
    setting = Setting(day(1000))

    async def next(request: Request) -> Response:
        assert request.on_sent is not None
        request.on_sent()
        return Response("hi", "m", tried=(Attempt("m", 0, 0, cost=None),), cost=None)

    ask(setting.stage(next)(REQUEST))
    assert setting.value == MOST


def test_a_free_model_always_fits() -> None:
    """An exhausted budget does not stop the embedded model."""
    setting = Setting(day(0), most=0)
    assert ask(setting.stage(Provider(0))(REQUEST)).text == "hi"


def test_a_request_that_no_budget_counts_passes() -> None:
    """A budget of `ci` is no matter of others, nor is the price of their model."""
    setting = Setting(day(0, tag="ci"))
    provider = Provider(5)
    ask(setting.stage(provider)(REQUEST))
    assert provider.requests[0].reserved is None
    with pytest.raises(BudgetError):
        ask(setting.stage(provider)(replace(REQUEST, tag="ci")))


def test_every_budget_that_counts_it_has_to_have_room() -> None:
    """And the one that has none leaves the others as they were."""
    setting = Setting(day(1000), BudgetRule(limit=50, per="month"))
    with pytest.raises(BudgetError, match="budget month"):
        ask(setting.stage(Provider())(REQUEST))
    assert setting.value == 0


def test_two_rules_on_one_counter_count_once() -> None:
    """The tighter one decides, and nothing is counted double."""
    setting = Setting(day(1000), day(150))
    send = setting.stage(Provider(60))
    ask(send(REQUEST))
    assert setting.value == 60
    with pytest.raises(BudgetError):
        ask(send(REQUEST))


def test_max_cost_and_budgets_hold_together() -> None:
    """What the second refuses the first gets back."""
    setting = Setting(day(50))
    memory = MemoryState(setting.clock.now)
    setting.purses = [Purse((MaxCost(1000),), lambda: memory), *setting.purses]
    with pytest.raises(BudgetError, match="budget day"):
        ask(setting.stage(Provider())(REQUEST))
    assert memory.held() == []
    setting.purses = [Purse((MaxCost(99),), lambda: memory)]
    with pytest.raises(BudgetError, match="--max-cost"):
        ask(setting.stage(Provider())(REQUEST))


@pytest.mark.parametrize("stolen", [False, True])
def test_money_taken_back_before_it_was_sent_is_asked_for_again(stolen: bool) -> None:
    """A key command that takes minutes outlives the lease; the money may be somebody else's by then."""
    setting = Setting(day(150))
    sent = False

    async def slow(request: Request) -> Response:
        nonlocal sent
        setting.clock.time += LEASE_S + 1
        assert setting.state.held() == []
        if stolen:
            account = setting.budgets[0].account(setting.clock.now())
            assert isinstance(setting.state.hold([account], 100, 60), int)
        assert request.on_sent is not None
        request.on_sent()
        sent = True
        return Response("hi", "m", tried=(Attempt("m", 0, 0, cost=10),), cost=10)

    send = setting.stage(slow)
    if stolen:
        with pytest.raises(BudgetError):
            ask(send(REQUEST))
    else:
        ask(send(REQUEST))
    assert sent is not stolen
    assert setting.value == (100 if stolen else 10)


def test_once_its_way_is_known_reserving_and_sending_are_one_write() -> None:
    """The key is at hand and the provider made: nothing comes in between. Another key has to be found."""
    setting = Setting(day(1000))
    seen: list[bool] = []

    async def look(request: Request) -> Response:
        seen.append(setting.state.held()[0].sent)
        assert request.on_sent is not None
        request.on_sent()
        return Response("hi", "m", tried=(Attempt("m", 0, 0, cost=10),), cost=10)

    send = setting.stage(look)
    for key in ("env:A", "env:A", "env:B"):
        ask(send(replace(REQUEST, key=key)))
    assert seen == [False, True, False]
    assert setting.value == 30


def test_what_was_marked_early_and_never_went_out_is_free_again() -> None:
    """As long as its process lives, it knows better."""
    setting = Setting(day(1000))
    send = setting.stage(Provider(10, ConfigError("the ledger is full")))
    ask(send(REQUEST))
    with pytest.raises(ConfigError):
        ask(send(REQUEST))
    assert setting.value == 10


def test_it_waits_for_its_own_requests_before_it_refuses() -> None:
    """A batch reserves far more than it spends: what comes back makes room for the next row."""
    setting = Setting(day(250))
    out: list[int] = []

    async def slow() -> int:
        out.append(setting.value)
        await asyncio.sleep(0.01)
        return 10

    async def go() -> list[Response | BaseException]:
        send = setting.stage(Provider(*[slow] * 40))
        return await asyncio.gather(*(send(REQUEST) for _ in range(40)), return_exceptions=True)

    found = asyncio.run(go())
    answers = [each for each in found if isinstance(each, Response)]
    assert len(answers) == (250 - MOST) // 10 + 1
    assert all(isinstance(each, BudgetError) for each in found if not isinstance(each, Response))
    assert setting.value == 10 * len(answers)
    assert max(out) <= 250


def test_waiting_for_money_does_not_use_up_the_calls_time() -> None:
    """As with the waiting for a turn under a rate limit."""
    setting = Setting(day(MOST))

    async def slow() -> int:
        await asyncio.sleep(0.05)
        return 0

    provider = Provider(slow, 0)

    async def go() -> None:
        send = setting.stage(provider)
        await asyncio.gather(*(send(replace(REQUEST, deadline=1000.0)) for _ in range(2)))

    asyncio.run(go())
    first, second = (request.deadline for request in provider.requests)
    assert first == 1000.0
    assert second is not None
    assert second >= 1000.04


def test_whoever_waits_is_not_sent_after_an_interruption() -> None:
    """Ctrl-C finishes what is in flight and starts nothing more."""
    setting = Setting(day(MOST))

    async def slow() -> int:
        await asyncio.sleep(0.01)
        setting.clock.woken = True
        return 0

    async def go() -> list[Response | BaseException]:
        send = setting.stage(Provider(slow))
        return await asyncio.gather(*(send(REQUEST) for _ in range(3)), return_exceptions=True)

    assert [type(each) for each in asyncio.run(go())] == [Response, Interrupted, Interrupted]
    assert setting.value == 0


def test_one_that_gives_up_waiting_passes_its_turn_on() -> None:
    """Or those behind it would wait for ever."""
    setting = Setting(day(MOST))

    async def slow() -> int:
        await asyncio.sleep(0.02)
        return 0

    async def go() -> None:
        send = setting.stage(Provider(slow, 0))
        tasks = [asyncio.ensure_future(send(REQUEST)) for _ in range(3)]
        await asyncio.sleep(0.005)
        tasks[1].cancel()
        async with asyncio.timeout(5):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert tasks[2].result().text == "hi"

    asyncio.run(go())


def test_it_warns_once_a_period() -> None:
    """At the share that the rule names, of what is spent and not of what is only reserved."""
    setting = Setting(day(1000, warn=0.5, name="small"))
    send = setting.stage(Provider(*[100] * 13))

    def spend(times: int) -> None:
        for _ in range(times):
            ask(send(REQUEST))

    spend(4)
    assert setting.warnings == []
    spend(1)
    assert len(setting.warnings) == 1
    assert "small" in setting.warnings[0]
    spend(3)
    ask(setting.stage(Provider(100))(REQUEST))  # as another process: it does not repeat it
    assert len(setting.warnings) == 1
    setting.clock.time += 86_400
    spend(5)
    assert len(setting.warnings) == 2


class Counting(MemoryState):
    """Counts its writes, and fails where it is told to."""

    trades = 0
    broken = False

    def trade(
        self, hold: int, accounts: Sequence[Account], wanted: Sequence[int], *, back: int = 0, spent: int = 0
    ) -> Traded:
        if self.broken:
            raise StorageError("the disk is full")
        self.trades += 1
        return super().trade(hold, accounts, wanted, back=back, spent=spent)


class Slow(MemoryState):
    """Takes its time, as a state does that another process has locked."""

    seconds = 0.0

    def trade(self, *args: Any, **more: Any) -> Traded:
        time.sleep(self.seconds)
        return super().trade(*args, **more)

    def hold(self, *args: Any, **more: Any) -> Any:
        time.sleep(self.seconds)
        return super().hold(*args, **more)


def many(setting: Setting, provider: Send, count: int, **fields: object) -> list[Response | BaseException]:
    """So many requests at once, after one that found the way."""
    setting.group = True

    async def go() -> list[Response | BaseException]:
        send = setting.stage(provider)
        await send(replace(REQUEST, **fields))  # type: ignore[arg-type]  # fields of a request
        asked = (send(replace(REQUEST, **fields)) for _ in range(count))  # type: ignore[arg-type]  # the same
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(go())


def test_requests_of_one_turn_are_one_write() -> None:
    """A batch reserves and settles as often as its loop turns, not as often as it asks."""
    setting = Setting(day(100_000))
    setting.state = state = Counting(setting.clock.now)
    found = many(setting, Provider(), 50)
    assert all(isinstance(each, Response) for each in found)
    assert setting.value == 51 * 10
    assert setting.state.held() == []
    assert state.trades <= 4


def test_a_group_never_passes_the_limit() -> None:
    """What fits goes out, what does not waits for what comes back, and the rest is refused."""
    setting = Setting(day(250))
    out: list[int] = []

    async def slow() -> int:
        out.append(setting.value)
        await asyncio.sleep(0.01)
        return 10

    found = many(setting, Provider(*[slow] * 40), 39)
    answers = [each for each in found if isinstance(each, Response)]
    assert 1 + len(answers) == (250 - MOST) // 10 + 1
    assert all(isinstance(each, BudgetError) for each in found if not isinstance(each, Response))
    assert setting.value == 10 * (1 + len(answers))
    assert max(out) <= 250


def test_a_group_gives_back_what_a_second_purse_refuses() -> None:
    """--max-cost has taken it already when the day's budget says no."""
    setting = Setting(day(120, tag="ci"))
    memory = MemoryState(setting.clock.now)
    setting.purses = [Purse((MaxCost(100_000),), lambda: memory), *setting.purses]
    found = many(setting, Provider(), 5, tag="ci")
    assert sum(isinstance(each, Response) for each in found) == 2
    assert memory.held() == []
    assert setting.value == 30


def test_what_a_group_never_sent_is_free_again() -> None:
    """The key is gone: nothing went out, and nothing is counted."""
    setting = Setting(day(1000))
    many(setting, Provider(10, *[ConfigError("no key")] * 3), 3)
    assert setting.value == 10
    assert setting.state.held() == []


def test_a_group_cancelled_before_its_turn_holds_nothing() -> None:
    """A second Ctrl-C leaves at once, and what was not sent is not counted."""
    setting = Setting(day(1000))
    setting.group = True

    async def go() -> None:
        send = setting.stage(Provider(10, 10))
        await send(REQUEST)
        task = asyncio.ensure_future(send(REQUEST))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    asyncio.run(go())
    assert setting.value == 10
    assert setting.state.held() == []


def test_a_group_that_cannot_be_written_is_not_sent() -> None:
    """Budgets fail closed for each of them."""
    setting = Setting(day(1000))
    setting.state = state = Counting(setting.clock.now)

    async def last() -> int:
        state.broken = True
        return 10

    provider = Provider(last)
    found = many(setting, provider, 5)
    assert [type(each) for each in found] == [StorageError] * 5
    assert len(provider.requests) == 1


def test_a_state_that_breaks_wakes_all_that_wait() -> None:
    """One of them hears of it; those behind it would wait for ever, since nothing is out that could end."""
    setting = Setting(day(MOST))
    setting.state = state = Counting(setting.clock.now)
    setting.group = True

    async def go() -> list[BaseException | object]:
        desk = setting.desk()
        held, _ = await desk.reserve(REQUEST, MOST)
        desk.sent(held)
        desk.settle(held, 1)
        held, _ = await desk.reserve(REQUEST, MOST - 1)
        desk.sent(held)
        waiting = [asyncio.ensure_future(desk.reserve(REQUEST, MOST // 2)) for _ in range(4)]
        await asyncio.sleep(0.01)  # all were refused, and wait for a turn
        state.broken = True
        desk.settle(held, 1)
        await asyncio.sleep(0.01)
        state.broken = False
        async with asyncio.timeout(5):
            return await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(each) for each in asyncio.run(go())] == [StorageError] * 4


@pytest.mark.parametrize("group", [False, True])
def test_the_time_that_a_write_takes_is_not_the_calls(group: bool) -> None:
    """Under a locked state a row would be sent after its deadline: paid for, and given up at once."""
    setting = Setting(day(10 * MOST))
    setting.state = state = Slow(setting.clock.now)
    setting.group = group
    provider = Provider()

    async def go() -> None:
        send = setting.stage(provider)
        await send(replace(REQUEST, deadline=1000.0))
        state.seconds = 0.05
        await send(replace(REQUEST, deadline=1000.0))

    asyncio.run(go())
    first, second = (request.deadline for request in provider.requests)
    assert first is not None
    assert second is not None
    assert second >= first + 0.04


def test_an_answer_of_a_group_is_not_lost_when_its_bill_cannot_be_written() -> None:
    """It is paid for; what it may have cost stays counted."""
    setting = Setting(day(1000))
    setting.state = state = Counting(setting.clock.now)

    async def full() -> int:
        state.broken = True
        return 10

    found = many(setting, Provider(10, full), 1)
    assert isinstance(found[0], Response)
    assert setting.value == 10 + MOST
    assert "the disk is full" in setting.warnings[0]


class Failing(MemoryState):
    """A state whose disk is full from some moment on."""

    broken = False

    def settle(self, hold: int, actual: int) -> dict[str, int]:
        if self.broken:
            raise StorageError("the disk is full")
        return dict(super().settle(hold, actual))


def test_an_answer_is_not_lost_when_its_bill_cannot_be_written() -> None:
    """It is paid for; the budget goes on counting the most it can have cost."""
    setting = Setting(day(1000))
    state = Failing(setting.clock.now)
    state.broken = True
    setting.state = state
    assert ask(setting.stage(Provider(10))(REQUEST)).text == "hi"
    assert setting.value == MOST
    assert "the disk is full" in setting.warnings[0]


def test_a_state_that_cannot_be_read_stops_before_the_call(tmp_path: Path) -> None:
    """Budgets fail closed: nothing unreserved is sent."""
    path = tmp_path / "state.db"
    path.write_bytes(b"this is no database, but it is long enough to be looked at" * 20)
    setting = Setting(day(1000), state=SqliteState(path, lambda: 0.0))
    provider = Provider()
    with pytest.raises(StorageError, match="damaged"):
        ask(setting.stage(provider)(REQUEST))
    assert provider.requests == []
