"""Sets the money for an attempt aside before it is sent, and settles with what it really cost.

An attempt that may have been billed keeps what was set aside for it; one that surely was not gives
it back. So what is spent and what is reserved never pass a limit together, across all processes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llmctl.core.errors import BudgetError, LlmctlError, StorageError
from llmctl.core.loop import loop
from llmctl.core.model import Attempt, Request, Response, Send, replace
from llmctl.core.money import Nanos, show_usd
from llmctl.core.ports import Clock, Full, State

if TYPE_CHECKING:
    from asyncio import Future

    from llmctl.usage.budgets import Budget

LEASE_S = 30.0
"""How long money is set aside for a request that has not gone out: its key may be asked for first."""

WARNED_S = 86_400.0
"""How long after its period it is remembered that a budget has warned."""


@dataclass(frozen=True, slots=True)
class Purse:
    """Budgets whose counters are in one state, which is opened when it is first needed."""

    budgets: Sequence[Budget]
    open: Callable[[], State]

    def asked(self, request: Request, now: float) -> dict[str, Budget]:
        """The budgets that count the request, by counter; of two on one counter the tighter."""
        found: dict[str, Budget] = {}
        for budget in self.budgets:
            if budget.counts(request):
                key = budget.account(now).key
                if key not in found or budget.limit < found[key].limit:
                    found[key] = budget
        return found


@dataclass(slots=True)
class Reservation:
    """What is held for one attempt, and where."""

    request: Request
    amount: Nanos
    marked: bool = False
    """Whether it was marked as sent from the beginning."""
    holds: list[tuple[Purse, int]] = field(default_factory=list)
    sent: bool = False


def budget(
    next: Send,
    purses: Sequence[Purse],
    most: Callable[[Request], Nanos],
    clock: Clock,
    warn: Callable[[str], None],
) -> Send:
    """Without purses `next` itself. `most` is the upper limit of an attempt's cost; 0 always fits.

    Raises BudgetError where a limit would be passed, or where there is no upper limit.
    """
    if not purses:
        return next
    desk = Desk(purses, clock, warn)

    async def send(request: Request) -> Response:
        if not any(each.counts(request) for purse in purses for each in purse.budgets):
            return await next(request)
        amount = most(request)
        if amount == 0:
            return await next(request)
        held, waited = await desk.reserve(request, amount)
        if waited and request.deadline is not None:
            request = replace(request, deadline=request.deadline + waited)
        try:
            response = await next(replace(request, reserved=amount, on_sent=lambda: desk.sent(held)))
        except LlmctlError as error:
            desk.settle(held, spent(error.tried, amount) if held.sent else 0)
            raise
        except BaseException:  # cancelled or interrupted: what went out may be billed
            desk.settle(held, amount if held.sent else 0)
            raise
        desk.settle(held, spent(response.tried, amount))
        return response

    return send


def spent(tried: Sequence[Attempt], reserved: Nanos) -> Nanos:
    """What the attempts cost; all that was reserved where that is not known."""
    costs = [attempt.cost for attempt in tried]
    if not costs or None in costs:
        return reserved
    return sum(cost for cost in costs if cost is not None)


def way(request: Request) -> tuple[str | None, ...]:
    """What has to be found or made before the first request of its kind can go out."""
    return request.key, request.target.model, request.target.api_base


class Desk:
    """Where money is set aside, waited for, and settled."""

    def __init__(self, purses: Sequence[Purse], clock: Clock, warn: Callable[[str], None]) -> None:
        self.purses = purses
        self.clock = clock
        self.warn = warn
        self._out = 0
        self._queue: deque[Future[None]] = deque()
        self._warned: set[str] = set()
        self._known: set[tuple[str | None, ...]] = set()

    async def reserve(self, request: Request, amount: Nanos) -> tuple[Reservation, float]:
        """The money held, and the seconds that were waited for it. BudgetError where it does not fit.

        While other requests of ours are out, what they reserved and will not need may still make
        room: then it waits for them, in turn and holding nothing.
        """
        held = Reservation(request, amount, way(request) in self._known)
        began = time.monotonic()
        waited = False
        while refused := self._hold(held):
            if not self._out or amount > refused[0].limit:
                self._call_next()
                raise refusal(*refused, amount, self.clock.now())
            waited = True
            await self._turn()
        self._out += 1
        self._call_next()
        return held, time.monotonic() - began if waited else 0.0

    def sent(self, held: Reservation) -> None:
        """It goes out now. What was taken back meanwhile has to be set aside once more.

        The first time, a key had to be found and a provider to be made. After that nothing comes
        between reserving and sending, and both are one write.
        """
        self._known.add(way(held.request))
        while not held.marked and not all(purse.open().sent(hold) for purse, hold in held.holds):
            self._release(held)
            if refused := self._hold(held):
                raise refusal(*refused, held.amount, self.clock.now())
        held.sent = True

    def settle(self, held: Reservation, actual: Nanos) -> None:
        """Never fails: what cannot be settled stays reserved, and no answer is lost for it."""
        self._out -= 1
        try:
            settled = [(purse, purse.open().settle(hold, actual)) for purse, hold in held.holds]
            for purse, values in settled:
                self._tell(purse, held.request, values)
        except StorageError as error:
            self.warn(f"the budget is not up to date, {show_usd(held.amount)} stay reserved: {error.message}")
        finally:
            self._call_next()

    def _hold(self, held: Reservation) -> tuple[Budget, Full] | None:
        """Holds in all purses or in none; the budget that refused."""
        now = self.clock.now()
        try:
            for purse in self.purses:
                asked = purse.asked(held.request, now)
                if not asked:
                    continue
                accounts = [each.account(now) for each in asked.values()]
                hold = purse.open().hold(accounts, held.amount, LEASE_S, sent=held.marked)
                if isinstance(hold, Full):
                    self._release(held)
                    return asked[hold.account.key], hold
                held.holds.append((purse, hold))
        except BaseException:
            self._release(held)
            raise
        return None

    def _release(self, held: Reservation) -> None:
        for purse, hold in held.holds:
            purse.open().settle(hold, 0)
        held.holds.clear()

    async def _turn(self) -> None:
        """Waits until a request of ours has settled, or whoever was woken before has had its try."""
        await loop()
        import asyncio

        turn: Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
            await self.clock.sleep(0)  # which raises where the command was interrupted meanwhile
        except BaseException:  # it may have been our turn: now it is the next one's
            self._call_next()
            raise

    def _call_next(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _tell(self, purse: Purse, request: Request, values: Mapping[str, int]) -> None:
        """Warns where a budget's share is used up, once a period among all processes."""
        now = self.clock.now()
        for key, each in purse.asked(request, now).items():
            share = each.rule.warn * each.limit
            if not share or values.get(key, 0) < share or key in self._warned:
                continue
            state = purse.open()
            used = values[key] - sum(hold.amount for hold in state.held() if key in hold.keys)
            if used < share:
                continue
            self._warned.add(key)
            until = each.account(now).until
            ttl = None if until is None else until - now + WARNED_S
            if state.add(f"{key}/warned", 1, ceiling=1, ttl=ttl) is not None:
                part = f"{used / each.limit:.0%}" if each.limit else "all"
                self.warn(f"budget {each.name}: {part} of {show_usd(each.limit)} spent")


def refusal(budget: Budget, full: Full, amount: Nanos, now: float) -> BudgetError:
    """What would be passed, by how much, and what to do."""
    left = show_usd(max(0, budget.limit - full.value))
    return BudgetError(
        f"{budget.title}: {left} left, and this request may cost up to {show_usd(amount)}",
        hint=budget.advice(now, amount),
    )
