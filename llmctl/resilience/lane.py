"""A rate limit that all processes on one state keep together: no table of requests, one number.

The generic cell rate algorithm (ITU-T I.371, as virtual scheduling): the state holds the moment at
which all that was let through so far would have been let through at the even pace. A turn costs
one read and one conditional write of it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from llmctl.core.ports import State

MINUTE_S = 60.0
BURST_S = 0.5
"""Requests: how much of the even pace may be caught up with at once."""
TOKENS_BURST_S = 2.0
"""The same for tokens, which come in larger lumps."""
SPARE = 1.03
TOKENS_SPARE = 1.05
"""The pace keeps a little under the limit. N + 1 requests then span 60 s x 1.03 - 0.5 s at least, so that
no window of 60 s holds more than N, also where some arrive up to 1.3 s later than others."""
FARTHEST_S = 86_400.0
"""A lane that is taken for longer than this was written under a clock that is gone."""


def request_cost(rpm: float) -> float:
    """Seconds of the lane that a request takes under a limit of `rpm` requests a minute."""
    return MINUTE_S * SPARE / rpm


def token_cost(tokens: float, tpm: float) -> float:
    """Seconds of the lane that so many tokens take; more than a minute's worth waits for a whole minute."""
    return MINUTE_S * TOKENS_SPARE * min(tokens, tpm) / tpm


class Lane:
    """One limited resource: `key` in the state, `now` in seconds that all its processes share.

    A turn may use up to `burst` seconds of the lane before they have passed. With `ahead` what it takes
    has to have passed besides, as tokens must: then no lump, however large, goes over the limit.
    """

    def __init__(
        self,
        key: str,
        state: Callable[[], State],
        now: Callable[[], float],
        *,
        burst: float = BURST_S,
        ahead: bool = False,
    ) -> None:
        self.key = key
        self.burst = burst
        self.ahead = ahead
        self._state = state
        self._now = now

    def take(self, cost: float, *, within: float = inf) -> float:
        """Takes a turn of that many seconds of the lane; gives the seconds to wait until it begins.

        A turn that would begin later than `within` seconds is not taken.
        """
        state = self._state()
        while True:
            now = self._now()
            old = state.get(self.key)
            taken = self._taken(old, now)
            begins = max(now, taken - self.burst + (cost if self.ahead else 0.0))
            if begins - now > within:
                return begins - now
            new = round((max(taken, begins) + cost) * 1e9)
            if state.add(self.key, new - (old or 0), ceiling=new) is not None:
                return begins - now

    def hold(self, seconds: float) -> None:
        """No turn begins for so long."""
        state = self._state()
        now = self._now()
        until = round((now + seconds + self.burst) * 1e9)
        while True:
            old = state.get(self.key)
            if self._taken(old, now) * 1e9 >= until:
                return
            if state.add(self.key, until - (old or 0), ceiling=until) is not None:
                return

    def give_back(self, cost: float) -> None:
        """Corrects what a turn took by so many seconds of the lane; less than 0 takes more."""
        self._state().add(self.key, -round(cost * 1e9))

    def held(self) -> float:
        """Seconds until a turn that costs nothing would begin."""
        now = self._now()
        return max(0.0, self._taken(self._state().get(self.key), now) - self.burst - now)

    def _taken(self, old: int | None, now: float) -> float:
        """Up to when the lane is taken. What lies too far ahead is of a clock that is gone."""
        taken = (old or 0) / 1e9
        return now if taken > now + FARTHEST_S else taken
