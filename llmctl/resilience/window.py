"""How many requests of this process are in flight at once to one provider, found out as it goes.

Additive increase, multiplicative decrease (D. Chiu and R. Jain, 1989): a 429 shrinks the window, once
for all that was in flight with it. It then grows back half of the way a round trip, as BIC does
(L. Xu, K. Harfoush and I. Rhee, 2004), and beyond where it was cut in steps that double. Where no number
was given it also grows beyond its start, as long as more in flight brings more answers a second.

A cut that does not help is taken back. Were a few refusals in a hundred due to a limit, there would
be none with 30 % less in flight; where they go on, they come by chance, and so many are borne.
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
DEEPEST = 0.5
"""A cut is one by SHRINK, and goes as deep as this where more are refused than that leaves out."""
MILD = 0.2
"""The share of refusals up to which a cut by SHRINK must end them, if a limit is what they come from."""
FADES = 0.25
"""The weight of the newest round in the share of refusals that is put down to chance."""
LONGEST_HOLD = 15
"""Round trips at most before a size is tried again that was refused before, and then again."""
GROW = 1.5
HELPS = 1.1
"""A larger window is kept growing where it brings at least so many times the answers a second."""


class Round:
    """The outcomes of about one window of requests, all sent since `began`; `base` was its size then."""

    __slots__ = ("bad", "base", "began", "good")

    def __init__(self, began: float, base: int) -> None:
        self.began = began
        self.base = base
        self.good = self.bad = 0

    @property
    def share(self) -> float:
        """Of refusals among the outcomes."""
        return self.bad / max(1, self.good + self.bad)


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
        self._now = Round(float("-inf"), self.size)
        self._cut: Round | None = None
        """The round that ended in the last cut: what was sent in it still comes in."""
        self._watched = False
        """Whether the round is the first after a cut, and tells if that helped."""
        self._chance = 0.0
        self._step = 1
        self._hold = self._clean = 0
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

    def answered(self, sent_at: float) -> None:
        """A request that was sent at `sent_at` (monotonic) has ended well."""
        if sent_at >= self._now.began:
            self._now.good += 1
            self._turn()
        elif self._cut is not None:
            self._cut.good += 1

    def refused(self, sent_at: float) -> None:
        """A 429 to a request sent at `sent_at`; before the last cut, it tells how deep that has to be."""
        if sent_at >= self._now.began:
            self._now.bad += 1
            if self._now.bad > self._borne():
                self._shrink()
            else:
                self._turn()
        elif self._cut is not None:
            self._cut.bad += 1
            deep = max(self._cut.base - self._cut.bad, int(self._cut.base * DEEPEST), 1)
            if self._watched:
                self.size = min(self.size, deep)

    def _borne(self) -> float:
        """How many refusals within a round do not shrink the window."""
        if self._watched:
            return MILD * self._now.base
        return 2 * self._chance * self._now.base + 1 if self._chance else 0.0

    def _shrink(self) -> None:
        base = max(1, min(self.size, self.in_flight))
        again = self._cut is not None and abs(base - self._cut.base) <= 1
        self._hold, self._clean = min(2 * self._hold + 1, LONGEST_HOLD) if again else 0, 0
        self._cut, self._cut.base = self._now, base
        self.size = max(1, int(self._cut.base * SHRINK))
        self._watched, self._step, self._since = True, 1, None
        self._begin()

    def _begin(self) -> None:
        self._now = Round(self._monotonic(), self.size)

    def _turn(self) -> None:
        """Ends the round where a whole window of its requests has come back."""
        ended = self._now
        if ended.good + ended.bad < self.size:
            return
        if self._watched:
            self._judge(ended)
        else:
            self._chance += FADES * (ended.share - self._chance) if self._chance else 0.0
            if self._chance < FADES / self.most:
                self._chance = 0.0
            self._grow(ended.good)
        self._begin()

    def _judge(self, after: Round) -> None:
        """Takes the last cut back where it did not help."""
        self._watched = False
        assert self._cut is not None
        before = self._cut.share
        if before <= MILD and after.bad and after.share >= before / 2:
            self._chance = max(self._chance, before, after.share)
            self._resize(self._cut.base)

    def _grow(self, answers: int) -> None:
        """After a round trip without a cut, which brought so many answers."""
        if self._cut is not None and self.size < self._largest:
            missing = self._cut.base - self.size
            if missing == 1 and self._clean < self._hold:
                self._clean += 1
            elif missing > 0:
                self._resize(self.size + max(1, missing // 2))
            else:
                self._resize(self.size + self._step)
                self._step *= 2
        elif self.size < self.most:
            self._search(answers)

    def _search(self, answers: int) -> None:
        """Looks for the number from which on more in flight brings no more answers a second."""
        now = self._monotonic()
        began, self._since = self._since, now
        if self.in_flight + 1 < self.size:
            return  # there is not enough to do: more room would stay empty
        if began is None or now <= began:
            return
        if answers / (now - began) >= self._best * HELPS:
            self._best = answers / (now - began)
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
