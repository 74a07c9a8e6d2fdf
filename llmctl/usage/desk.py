"""The desk where money is set aside before a request is sent, waited for, and settled.

A batch sends and settles many requests within one turn of its event loop. All of that is then one
write: each budget's state holds one amount for the process, which grows by what is about to go out
and shrinks by what has been billed. It counts as sent from the beginning, so that whatever a killed
process had sent stays counted.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llmctl.core.errors import BudgetError, StorageError
from llmctl.core.loop import loop
from llmctl.core.model import Request
from llmctl.core.money import Nanos, show_usd
from llmctl.core.ports import Account, Clock, Full, State
from llmctl.usage.budgets import Budget
from llmctl.usage.purses import Purse

if TYPE_CHECKING:
    from asyncio import Future

LEASE_S = 30.0
"""How long money is set aside for a request that has not gone out: its key may be asked for first."""

MOMENT_S = 0.001
"""What took no longer is not worth a copy of the request."""

WARNED_S = 86_400.0
"""How long after its period it is remembered that a budget has warned."""

Refused = tuple[Budget, Full]
Wish = tuple["Reservation", "Future[Refused | None]"]
"""A reservation that waits for this turn's write, and where it is told how that went."""


@dataclass(slots=True, eq=False)
class Drawer:
    """What this process holds in one purse for the requests that the same budgets count."""

    purse: Purse
    asked: Mapping[str, Budget]
    accounts: Sequence[Account]
    hold: int = 0
    back: Nanos = 0
    spent: Nanos = 0
    """Settled, but not in the state yet: `back` of what is held, with `spent` in its place."""

    def trade(self, wanted: Sequence[Nanos]) -> tuple[Sequence[bool], Refused | None, Mapping[str, int]]:
        """What of the amounts was taken; StorageError, and then nothing has changed."""
        back, spent = self.back, self.spent
        done = self.purse.open().trade(self.hold, self.accounts, wanted, back=back, spent=spent)
        self.hold = done.hold
        self.back -= back
        self.spent -= spent
        refused = None if done.full is None else (self.asked[done.full.account.key], done.full)
        return done.taken, refused, done.values


@dataclass(slots=True, eq=False)
class Reservation:
    """What is held for one attempt, and where: a hold of its own in each purse, or a part of a drawer's."""

    request: Request
    amount: Nanos
    holds: list[tuple[Purse, int]] = field(default_factory=list)
    drawers: tuple[Drawer, ...] = ()
    marked: bool = False
    """Whether the state counts it as sent from the beginning."""
    sent: bool = False


@dataclass(slots=True, eq=False)
class Places:
    """The drawers of requests that are alike, until one of their periods ends (Unix seconds)."""

    drawers: tuple[Drawer, ...]
    since: float
    until: float


class Desk:
    """`group`: many requests are to come at once, and one write may be for all of a turn of the loop."""

    def __init__(
        self, purses: Sequence[Purse], clock: Clock, warn: Callable[[str], None], *, group: bool = False
    ) -> None:
        self.purses = purses
        self.clock = clock
        self.warn = warn
        self.group = group
        self._out = 0
        self._queue: deque[Future[None]] = deque()
        self._warned: set[str] = set()
        self._known: set[tuple[str | None, ...]] = set()
        self._tags = {each.rule.tag for purse in purses for each in purse.budgets}
        """Those that budgets tell apart; all others are as good as none."""
        self._places: dict[tuple[str | None, ...], Places] = {}
        self._drawers: dict[tuple[int, tuple[str, ...]], Drawer] = {}
        self._wanted: list[Wish] = []
        self._settled: dict[Drawer, None] = {}
        self._called = False

    def counts(self, request: Request) -> bool:
        """Whether any budget counts the request."""
        return bool(self.purses) and bool(self._drawers_of(request))

    async def reserve(self, request: Request, amount: Nanos) -> tuple[Reservation, float]:
        """The money held, and the seconds that were waited for it. BudgetError where it does not fit.

        While other requests of ours are out, what they reserved and will not need may still make
        room: then it waits for them, in turn and holding nothing.
        """
        held = Reservation(request, amount)
        grouped = self.group and way(request) in self._known
        began = time.monotonic()
        try:
            while refused := await self._draw(held) if grouped else self._hold(held):
                if not self._out or amount > refused[0].limit:
                    raise refusal(*refused, amount, self.clock.now())
                await self._turn()
        except BaseException:  # whatever it was: who waits behind it has to have a try too
            self._call_next()
            raise
        self._out += not grouped
        self._call_next()
        waited = time.monotonic() - began
        return held, waited if waited > MOMENT_S else 0.0

    def sent(self, held: Reservation) -> None:
        """It goes out now. What was taken back meanwhile has to be set aside once more.

        The first time, a key had to be found and a provider to be made. After that nothing comes
        between reserving and sending, and both are one write.
        """
        if not held.marked:
            self._known.add(way(held.request))
        while not held.marked and not all(purse.open().sent(hold) for purse, hold in held.holds):
            self._release(held)
            if refused := self._hold(held):
                raise refusal(*refused, held.amount, self.clock.now())
        held.sent = True

    def settle(self, held: Reservation, actual: Nanos) -> None:
        """Never fails: what cannot be settled stays reserved, and no answer is lost for it."""
        if held.drawers:
            self._put_back(held, actual)
            return
        self._out -= 1
        try:
            settled = [(purse, purse.open().settle(hold, actual)) for purse, hold in held.holds]
            for purse, values in settled:
                self._tell(purse, purse.asked(held.request, self.clock.now()), values)
        except StorageError as error:
            self._stays(held.amount, error)
        finally:
            self._call_next()

    def flush(self) -> None:
        """Writes what is settled and not written yet. Never fails, as `settle`."""
        drawers, self._settled = self._settled, {}
        for drawer in drawers:
            if drawer.back:
                try:
                    _, _, values = drawer.trade(())
                    self._tell(drawer.purse, drawer.asked, values)
                except StorageError as error:
                    self._stays(drawer.back, error)
            self._call_next()

    def _stays(self, amount: Nanos, error: StorageError) -> None:
        self.warn(f"the budget is not up to date, {show_usd(amount)} stay reserved: {error.message}")

    # One request alone: a hold of its own.

    def _hold(self, held: Reservation) -> Refused | None:
        """Holds in all purses or in none; the budget that refused."""
        now = self.clock.now()
        held.marked = way(held.request) in self._known
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

    # Many requests at once: parts of the drawers' holds, written once a turn of the loop.

    async def _draw(self, held: Reservation) -> Refused | None:
        """Waits for this turn's write; the budget that refused."""
        import asyncio

        done: Future[Refused | None] = asyncio.get_running_loop().create_future()
        held.drawers = self._drawers_of(held.request)
        held.marked = True
        self._wanted.append((held, done))
        self._call_soon()
        try:
            return await done
        except BaseException:  # cancelled: what was taken meanwhile goes back
            if done.done() and not done.cancelled() and done.exception() is None and done.result() is None:
                self._put_back(held, 0)
            raise

    def _put_back(self, held: Reservation, actual: Nanos) -> None:
        self._out -= 1
        for drawer in held.drawers:
            drawer.back += held.amount
            drawer.spent += actual
            self._settled[drawer] = None
        self._call_soon()

    def _call_soon(self) -> None:
        if self._called:
            return
        import asyncio

        try:
            asyncio.get_running_loop().call_soon(self._trade)
            self._called = True
        except RuntimeError:  # the loop has ended: what is left to settle is settled at once
            self.flush()

    def _trade(self) -> None:
        """All that was asked for and settled within this turn, in one write for each drawer."""
        self._called = False
        wanted, self._wanted = self._wanted, []
        alike: dict[tuple[Drawer, ...], list[Wish]] = {}
        for held, done in wanted:
            if not done.done():
                alike.setdefault(held.drawers, []).append((held, done))
        for drawers, wishes in alike.items():
            try:
                self._trade_alike(drawers, wishes)
            except Exception as error:  # noqa: BLE001  # whoever waits has to hear of it, whatever it is
                for _, done in wishes:
                    if not done.done():
                        done.set_exception(error)
        self.flush()

    def _trade_alike(self, drawers: tuple[Drawer, ...], wishes: Sequence[Wish]) -> None:
        """One drawer after the other; what a later one refuses goes back into those before it."""
        fits = list(wishes)
        told: list[tuple[Drawer, Mapping[str, int]]] = []
        for place, drawer in enumerate(drawers):
            try:
                taken, refused, values = drawer.trade([held.amount for held, _ in fits])
                told.append((drawer, values))
            except StorageError as error:
                taken = [False] * len(fits)
                for _, done in fits:
                    done.set_exception(StorageError(error.message, hint=error.hint))
            for (held, done), took in zip(fits, taken, strict=True):
                if not took:
                    for earlier in drawers[:place]:
                        earlier.back += held.amount
                        self._settled[earlier] = None
                    if not done.done():
                        done.set_result(refused)
            fits = [wish for wish, took in zip(fits, taken, strict=True) if took]
        self._out += len(fits)
        for _, done in fits:
            done.set_result(None)
        for drawer, values in told:
            self._tell(drawer.purse, drawer.asked, values)

    def _drawers_of(self, request: Request) -> tuple[Drawer, ...]:
        target = request.target
        tag = request.tag if request.tag in self._tags else None
        kind = (request.profile, tag, target.name, target.model)
        now = self.clock.now()
        found = self._places.get(kind)
        if found is None or not found.since <= now < found.until:
            found = self._places[kind] = self._find(request, now)
        return found.drawers

    def _find(self, request: Request, now: float) -> Places:
        drawers = []
        until = float("inf")
        for number, purse in enumerate(self.purses):
            asked = purse.asked(request, now)
            if not asked:
                continue
            accounts = [each.account(now) for each in asked.values()]
            until = min([until, *(each.until for each in accounts if each.until is not None)])
            key = (number, tuple(asked))
            if key not in self._drawers:
                self._drawers[key] = Drawer(purse, asked, accounts)
            drawers.append(self._drawers[key])
        return Places(tuple(drawers), now, until)

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

    def _tell(self, purse: Purse, asked: Mapping[str, Budget], values: Mapping[str, int]) -> None:
        """Warns where a budget's share is used up, once a period among all processes."""
        for key, each in asked.items():
            share = each.rule.warn * each.limit
            if share and values.get(key, 0) >= share and key not in self._warned:
                try:
                    self._warn_of(purse.open(), each, key, values[key], share)
                except StorageError as error:
                    self._warned.add(key)
                    self.warn(f"budget {each.name}: {error.message}")

    def _warn_of(self, state: State, budget: Budget, key: str, value: Nanos, share: float) -> None:
        used = value - sum(hold.amount for hold in state.held() if key in hold.keys)
        if used < share:
            return
        self._warned.add(key)
        now = self.clock.now()
        until = budget.account(now).until
        ttl = None if until is None else until - now + WARNED_S
        if state.add(f"{key}/warned", 1, ceiling=1, ttl=ttl) is not None:
            part = f"{used / budget.limit:.0%}" if budget.limit else "all"
            self.warn(f"budget {budget.name}: {part} of {show_usd(budget.limit)} spent")


def way(request: Request) -> tuple[str | None, ...]:
    """What has to be found or made before the first request of its kind can go out."""
    return request.key, request.target.model, request.target.api_base


def refusal(budget: Budget, full: Full, amount: Nanos, now: float) -> BudgetError:
    """What would be passed, by how much, and what to do."""
    left = show_usd(max(0, budget.limit - full.value))
    error = BudgetError(
        f"{budget.title}: {left} left, and this request may cost up to {show_usd(amount)}",
        hint=budget.advice(now, amount),
    )
    error.narrow = budget.narrow
    return error
