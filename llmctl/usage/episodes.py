"""How alert rules stand, kept in the state that all processes share.

A rule's `turn` is even while all is well and odd while it fires. Whoever moves it from n to n + 1
is alone: `add` with the ceiling n + 1 refuses everybody else. `told` says what a destination has
heard: the turn, and within it how many reminders; `lease` keeps others from telling it meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from llmctl.core.canonical import canonical, digest
from llmctl.core.ports import State
from llmctl.core.profile import AlertRule
from llmctl.usage.alerts import Reading, broken, limit, window

PREFIX = "alert/"
REMINDERS = 1_000_000
"""What is told, as one number: turn × this + reminders."""
UNHEARD = REMINDERS - 1
LEASE_S = 60.0
"""How long one process may take to tell a destination; longer than every sending."""

Standing = Literal["ok", "pending", "firing"]


@dataclass(frozen=True, slots=True)
class Memory:
    """What the state holds of a rule; `since` in Unix seconds, when the condition began to hold."""

    turn: int = 0
    since: float | None = None
    fired: float | None = None

    @property
    def firing(self) -> bool:
        return self.turn % 2 == 1


@dataclass(frozen=True, slots=True)
class Episode:
    """A rule, its reading and how it stands; `began`, `ended`: it was moved to that just now, by us."""

    rule: AlertRule
    reading: Reading
    standing: Standing
    since: float | None
    memory: Memory
    began: bool = False
    ended: bool = False


def identity(rule: AlertRule) -> str:
    """The same for rules that watch the same thing, whatever they are called and whoever is told."""
    watched = [rule.metric, limit(rule), rule.under is None, window(rule), rule.min_calls]
    return digest(canonical([*watched, rule.profile, rule.model, rule.tag]))[:16]


def judge(rule: AlertRule, reading: Reading, memory: Memory, now: float) -> tuple[Standing, float | None]:
    """How the rule stands, and since when."""
    if not broken(rule, reading.value, firing=memory.firing):
        return "ok", None
    since = now if memory.since is None else min(memory.since, now)
    if memory.firing or now - since >= rule.hold:
        return "firing", since
    return "pending", since


class Episodes:
    """The rules' standing in a state. StorageError where that cannot be read or written."""

    def __init__(self, state: State) -> None:
        self._state = state

    def look(self, rule: AlertRule, reading: Reading, now: float) -> Episode:
        """How it stands; nothing is changed."""
        memory = self._memory(rule)
        return Episode(rule, reading, *judge(rule, reading, memory, now), memory)

    def move(self, rule: AlertRule, reading: Reading, now: float) -> Episode:
        """How it stands, kept for the next look."""
        key, memory = PREFIX + identity(rule), self._memory(rule)
        standing, since = judge(rule, reading, memory, now)
        if since is not None and since != memory.since:
            self._state.set(f"{key}/since", round(since * 1000))
        if (standing == "firing") == memory.firing:
            if standing == "ok" and memory.since is not None:
                self._state.delete(f"{key}/since")
            return Episode(rule, reading, standing, since, memory)
        mine = self._state.add(f"{key}/turn", 1, ceiling=memory.turn + 1) is not None
        fired = memory.fired
        if standing == "ok":
            since = memory.since
            self._state.delete(f"{key}/since")
        elif mine:
            fired = now
            self._state.set(f"{key}/fired", round(now * 1000))
        moved = Memory(memory.turn + 1, since, fired)
        firing = standing == "firing"
        return Episode(rule, reading, standing, since, moved, mine and firing, mine and not firing)

    def _memory(self, rule: AlertRule) -> Memory:
        key = PREFIX + identity(rule)
        found = self._state.find(f"{key}/")
        since, fired = _seconds(found, f"{key}/since"), _seconds(found, f"{key}/fired")
        return Memory(found.get(f"{key}/turn", 0), since, fired)


class Mailbox:
    """What one destination has heard of one rule."""

    def __init__(self, state: State, rule: AlertRule, destination: str) -> None:
        end = f"{identity(rule)}/{digest(destination.encode())[:16]}"
        self._state = state
        self._told = f"{PREFIX}told/{end}"
        self._lease = f"{PREFIX}lease/{end}"

    def due(self, episode: Episode, now: float) -> int | None:
        """The number of what is to be told now, if anything is."""
        told = self._state.get(self._told)
        number = episode.memory.turn * REMINDERS
        if episode.memory.firing:
            if told is None:  # from now on it is to hear of the end too; never over what was told meanwhile
                unheard = number - REMINDERS + UNHEARD
                self._state.add(self._told, unheard, ceiling=unheard)
            number += self._reminders(episode, now)
        elif told is None:
            return None  # it never was to hear of the beginning
        return number if told is None or told < number else None

    def take(self, number: int) -> bool:
        """Whether this process is the one to tell it; then `heard` or `missed` has to follow."""
        if self._state.add(self._lease, 1, ceiling=1, ttl=LEASE_S) is None:
            return False
        if (self._state.get(self._told) or 0) < number:
            return True
        self._state.delete(self._lease)
        return False

    def heard(self, number: int) -> None:
        self._state.set(self._told, number)
        self._state.delete(self._lease)

    def missed(self, seconds: float) -> None:
        """Nobody tries again for so long."""
        self._state.set(self._lease, 1, ttl=seconds)

    @staticmethod
    def _reminders(episode: Episode, now: float) -> int:
        repeat, fired = episode.rule.repeat, episode.memory.fired
        if repeat is None or fired is None:
            return 0
        return max(0, min(int((now - fired) / repeat), UNHEARD - 1))


def _seconds(found: Mapping[str, int], key: str) -> float | None:
    return found[key] / 1000 if key in found else None
