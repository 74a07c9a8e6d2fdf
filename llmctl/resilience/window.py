"""How many requests of this process are in flight at once to one provider, found out as it goes.

Additive increase, multiplicative decrease (D. Chiu and R. Jain, 1989): a 429 shrinks the window,
once for all that was in flight with it, and it then grows by one a round trip. Where no number was
given it also grows beyond its start, as long as more in flight brings more answers a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import Future

START = 32
MOST = 128
"""Where no concurrency is given: how many at first, and at most."""
SHRINK = 0.7
GROW = 1.5
HELPS = 1.1
"""A larger window is kept growing where it brings at least so many times the answers a second."""


class Window:
    """`size` requests may be in flight; `grown` is told when it becomes larger than it ever was."""

    def __init__(self, monotonic: Callable[[], float], given: int | None) -> None:
        self.size = given or START
        self.most = given or MOST
        self.in_flight = 0
        self.grown: Callable[[int], None] = lambda size: None
        self._monotonic = monotonic
        self._queue: deque[Future[None]] = deque()
        self._largest = self.size
        self._shrunk_at = float("-inf")
        self._done = 0
        self._since: float | None = None
        self._best = 0.0

    @property
    def full(self) -> bool:
        return self.in_flight >= self.size or bool(self._queue)

    async def enter(self) -> None:
        """Waits for room, in turn; the caller then counts as in flight."""
        if not self.full:
            self.in_flight += 1
            return
        import asyncio

        turn: Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn  # whoever ends it has counted us in
        except BaseException:  # cancelled: where it was our turn already, it is the next one's
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        self.in_flight -= 1
        if self._queue:
            self._fill()

    def answered(self) -> None:
        """A request has ended well: after a whole window of them the window may grow."""
        if self.size < self.most:
            self._done += 1
            if self._done >= self.size:
                self._round()

    def refused(self, sent_at: float) -> None:
        """A 429 to a request sent at `sent_at` (monotonic); before the last cut, it tells nothing new."""
        if sent_at < self._shrunk_at:
            return
        self._shrunk_at = self._monotonic()
        self.size = max(1, int(min(self.size, self.in_flight) * SHRINK))
        self._done, self._since = 0, None

    def _round(self) -> None:
        """About one round trip has passed with `size` answers."""
        now = self._monotonic()
        began, self._since = self._since, now
        done, self._done = self._done, 0
        if self._shrunk_at > float("-inf") and self.size < self._largest:
            self._resize(self.size + 1)
        elif self.in_flight + 1 < self.size:
            return  # there is not enough to do: more room would stay empty
        elif began is None or now <= began:
            return
        elif done / (now - began) >= self._best * HELPS:
            self._best = done / (now - began)
            self._resize(int(self.size * GROW) + 1)
        else:
            self.most = self.size

    def _resize(self, size: int) -> None:
        self.size = min(size, self.most)
        self._fill()
        if self.size > self._largest:
            self._largest = self.size
            self._since = None  # the first round with more in flight is not its own yet
            self.grown(self.size)

    def _fill(self) -> None:
        """Lets in who waits, in turn, as far as there is room."""
        while self._queue and self.in_flight < self.size:
            turn = self._queue.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)
