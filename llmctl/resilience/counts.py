"""How the calls under one breaker ended within its window, in all processes that share the state."""

from __future__ import annotations

from llmctl.core.ports import Clock
from llmctl.core.profile import BreakerRule
from llmctl.resilience.shared import SharedState

LOOK_S = 0.5
"""How long a look into the state is believed, and how often it is told of answers."""
SLOTS = 6
"""Parts of the window: the oldest is forgotten as a whole."""


class Counts:
    """This process's own at once; those of all through the state, from the first failure on.

    While all is well nothing is written: so many calls without a failure say nothing that matters.
    """

    def __init__(self, key: str, rule: BreakerRule, state: SharedState, clock: Clock) -> None:
        self._key = f"{key}/window/"
        self._rule = rule
        self._state = state
        self._clock = clock
        self._good = self._bad = 0
        self._unsaved = {"good": 0, "bad": 0}
        self._slot = max(rule.window, 1.0) / SLOTS
        self._turn_at = clock.monotonic() + self._slot
        self._past: list[tuple[int, int]] = []
        self._troubled = False
        self._save_at = float("-inf")

    def well(self) -> None:
        """An answer came."""
        self._good += 1
        self._unsaved["good"] += 1
        if self._troubled and self._clock.monotonic() >= self._save_at:
            self._state.learn(self._save)

    def failed(self) -> None:
        """It says "down"."""
        self._bad += 1
        self._unsaved["bad"] += 1
        self._state.learn(self._save)

    def look(self, now: float) -> None:
        """Begins new slots as time has gone by, and sees whether others had failures; `now` is monotonic."""
        self._troubled = any(self._shared())
        while now >= self._turn_at:
            self._past = [*self._past, (self._good, self._bad)][-(SLOTS - 1) :]
            self._good = self._bad = 0
            self._turn_at += self._slot
            if now - self._turn_at > SLOTS * self._slot:
                self._past = []
                self._turn_at = now + self._slot

    def sums(self) -> tuple[int, int]:
        """Answers and failures of this process."""
        good, bad = self._good, self._bad
        return good + sum(each[0] for each in self._past), bad + sum(each[1] for each in self._past)

    def mostly_failing(self) -> bool:
        """Whether the rule's share of enough calls has failed, here or in all processes together."""
        return self._over(*self.sums()) or self._over(*self._shared())

    def forget(self) -> None:
        """The breaker has opened or closed: what was before says nothing any more."""
        self._good = self._bad = 0
        self._past = []
        self._unsaved = {"good": 0, "bad": 0}
        for key in self._state().find(self._key):
            self._state().delete(key)
        self._troubled = False

    def _over(self, good: int, bad: int) -> bool:
        return good + bad >= self._rule.min_calls and bad >= self._rule.rate * (good + bad)

    def _shared(self) -> tuple[int, int]:
        found = self._state().find(self._key)
        sums = {"good": 0, "bad": 0}
        for key, count in found.items():
            sums[key.rpartition("/")[2]] += count
        return sums["good"], sums["bad"]

    def _save(self) -> None:
        """Adds to the state's count of this slot of time."""
        slot = int(self._clock.now() / self._slot)
        for what, count in self._unsaved.items():
            if count:
                ttl = self._slot * (SLOTS + 1)
                self._state().add(f"{self._key}{slot}/{what}", count, ttl=ttl)
                self._unsaved[what] = 0
        self._troubled = True
        self._save_at = self._clock.monotonic() + LOOK_S
