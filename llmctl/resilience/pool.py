"""Pools of keys: which one is used next, and which are set aside, cooling or used up, and until when.

The state holds this of a key by a hash of its reference and its address, never of the key: how
often it was used within an hour, and until when it rests and why. All processes go by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from llmctl.core.canonical import canonical, digest
from llmctl.core.errors import AccountError, AuthError, Forbidden, LlmctlError, QuotaExhausted, RateLimited
from llmctl.core.model import Target
from llmctl.core.ports import Clock, State
from llmctl.resilience.circuit import clock_time
from llmctl.resilience.shared import SharedState

Why = Literal["cooling", "spent", "refused"]
WHYS: tuple[Why, ...] = get_args(Why)
COOL_S = 1.0
"""How long a key cools after a 429 that does not say how long."""
SPENT_S = 3600.0
"""How long a key rests whose quota is used up, where the provider does not say until when."""
REFUSED_S = 300.0
"""How long other processes try a refused key last. A new run may find a new key behind the reference."""
LOOK_S = 0.5
"""How long a look into the state is believed."""
SAVE_S = 1.0
"""How often uses are written to the state."""
USES_KEPT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Rest:
    """Until when (Unix seconds) a key is not used, and why."""

    until: float
    why: Why


class Shelf:
    """What the state holds of one key at one address."""

    def __init__(self, target: Target, reference: str, state: Callable[[], State]) -> None:
        place = digest(canonical([target.provider, target.api_base, reference]))[:16]
        self._rest = f"key/{place}/rest"
        self._uses = f"key/{place}/uses"
        self._state = state

    def rest(self) -> Rest | None:
        found = self._state().get(self._rest)
        return None if found is None else Rest(found // 4 / 1000, WHYS[found % 4])

    def put_to_rest(self, rest: Rest, now: float) -> None:
        value = round(rest.until * 1000) * 4 + WHYS.index(rest.why)
        self._state().set(self._rest, value, ttl=max(rest.until - now, 0.001))

    def wake(self) -> None:
        self._state().delete(self._rest)

    def uses(self) -> int:
        """Within the last hour, about."""
        return self._state().get(self._uses) or 0

    def used(self, times: int) -> int:
        """Adds so many uses; all of them."""
        return self._state().add(self._uses, times, ttl=USES_KEPT_S) or 0


class Key:
    """One key of a pool, as this process sees it."""

    def __init__(self, target: Target, reference: str, state: Callable[[], State]) -> None:
        self.reference = reference
        self.shelf = Shelf(target, reference, state)
        self.in_flight = 0
        self.uses = 0
        self.unsaved = 0
        self.rest: Rest | None = None
        self.refused: LlmctlError | None = None
        """What this process was told of it: that is final here."""


class Pools:
    """The pools of a run, by target."""

    def __init__(self, state: SharedState, clock: Clock) -> None:
        self.state = state
        self.clock = clock
        self._known: dict[tuple[str, str | None, tuple[str, ...]], Pool] = {}

    def of(self, target: Target) -> Pool:
        key = (target.model, target.api_base, target.keys)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Pool(target, self.state, self.clock)
        return found

    def save(self) -> None:
        """Writes the uses that are not in the state yet."""
        for pool in self._known.values():
            pool.save()


class Pool:
    """The keys of one target: the least used goes first, in flight counted before the past."""

    def __init__(self, target: Target, state: SharedState, clock: Clock) -> None:
        self.model = target.model
        self._state = state
        self.keys = [Key(target, reference, state) for reference in target.keys]
        self._clock = clock
        self._look_at = float("-inf")
        self._save_at = float("-inf")

    def choose(self) -> Key | float:
        """The key to use next, counted as in flight; or the seconds until one has cooled.

        AccountError where every key is refused or used up, naming each reference.
        """
        now, monotonic = self._clock.now(), self._clock.monotonic()
        if monotonic >= self._look_at:
            self._look_at = monotonic + LOOK_S
            for key in self.keys:
                key.rest = key.shelf.rest()
                key.uses = key.shelf.uses() + key.unsaved
        chosen = self._next(now)
        if chosen is None:
            return max(0.001, self._cool_in(now))
        return self._use(chosen, monotonic)

    def _use(self, key: Key, monotonic: float) -> Key:
        key.in_flight += 1
        key.uses += 1
        key.unsaved += 1
        if monotonic >= self._save_at:
            self._save(monotonic)
        return key

    def _next(self, now: float) -> Key | None:
        """None where the best that is left is cooling."""
        awake = [key for key in self.keys if key.refused is None and not self._rests(key, now)]
        if awake:
            return min(awake, key=lambda key: (key.in_flight, key.uses))
        left = [(key.rest, key) for key in self.keys if key.refused is None and key.rest is not None]
        if any(rest.why == "cooling" for rest, _ in left):
            return None
        doubtful = [(rest.until, key) for rest, key in left if rest.why == "refused"]
        if doubtful:  # told by another process, maybe of another key behind the same reference
            return min(doubtful, key=lambda each: each[0])[1]
        raise self._exhausted()

    def ended(self, key: Key, error: LlmctlError) -> bool:
        """Notes what a failure says of the key. True: another key is to be tried at once."""
        now = self._clock.now()
        if isinstance(error, RateLimited):
            if len(self.keys) == 1:
                return False
            self._put_to_rest(key, Rest(now + (error.retry_after or COOL_S), "cooling"))
            wait = self._cool_in(now)
            error.retry_after = wait or None
            return False
        if isinstance(error, QuotaExhausted):
            self._put_to_rest(key, Rest(now + (error.retry_after or SPENT_S), "spent"))
            return True
        if isinstance(error, AccountError):
            key.refused = error
            if isinstance(error, AuthError) and error.status is not None:
                self._put_to_rest(key, Rest(now + REFUSED_S, "refused"))
            return True
        return False

    def went_well(self, key: Key) -> None:
        if key.rest is not None and key.rest.why == "refused":
            key.rest = None
            self._state.learn(key.shelf.wake)

    def save(self) -> None:
        """Writes the uses that are not in the state yet."""
        self._state.learn(self._write)

    def _write(self) -> None:
        for key in self.keys:
            if key.unsaved:
                key.uses, key.unsaved = key.shelf.used(key.unsaved), 0

    def _save(self, monotonic: float) -> None:
        self._save_at = monotonic + SAVE_S
        self.save()

    def _put_to_rest(self, key: Key, rest: Rest) -> None:
        """An end that is known already and lies later stays."""
        if key.rest is None or key.rest.until < rest.until:
            key.rest = rest
            self._state.learn(key.shelf.put_to_rest, rest, self._clock.now())

    def _rests(self, key: Key, now: float) -> bool:
        return key.rest is not None and key.rest.until > now

    def _cool_in(self, now: float) -> float:
        """Seconds until the first key may be used again; 0: one may be used now."""
        usable = [key for key in self.keys if key.refused is None]
        waits = [
            key.rest.until - now if key.rest is not None and key.rest.until > now else 0.0
            for key in usable
            if not self._rests(key, now) or (key.rest is not None and key.rest.why == "cooling")
        ]
        return min(waits, default=0.0)

    def _exhausted(self) -> AccountError:
        """Every key with what is wrong with it."""
        said = ", ".join(f"{key.reference} {_state(key)}" for key in self.keys)
        spent = [key.rest.until for key in self.keys if key.refused is None and key.rest is not None]
        if spent:
            return QuotaExhausted(
                f"{self.model}: none of its keys can be used: {said}",
                retry_after=round(max(0.0, min(spent) - self._clock.now()), 3),
            )
        forbidden = any(isinstance(key.refused, Forbidden) for key in self.keys)
        kind = Forbidden if forbidden else AuthError
        return kind(f"{self.model}: every key was refused: {said}", hint="see llmctl keys check")


def _state(key: Key) -> str:
    if key.refused is not None:
        return f"({key.refused.status})" if key.refused.status else "(there is none)"
    return f"(used up, until {clock_time(key.rest.until)})" if key.rest else ""
