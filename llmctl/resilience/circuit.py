"""Breakers: whether a model at its provider is down, known to all processes that share a state.

The pattern is M. Nygard's circuit breaker ("Release It!", 2007): closed, open for a while, then
half-open, when a single probe decides. What the state holds of one breaker: how often it failed in
a row, until when it is open, and who has the probe of that time.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from math import ceil, log
from typing import Literal
from urllib.parse import urlsplit

from llmctl.core.canonical import canonical, digest
from llmctl.core.errors import (
    BreakerOpen,
    BrokenAnswer,
    ConnectionDropped,
    ConnectionFailed,
    LlmctlError,
    OversizedAnswer,
    ProviderTimeout,
    ServerError,
)
from llmctl.core.model import Request, Target
from llmctl.core.ports import Clock
from llmctl.core.profile import BreakerRule
from llmctl.resilience.counts import LOOK_S, Counts
from llmctl.resilience.shared import SharedState

ASK_AGAIN_S = 0.1
"""How long to wait for another's probe before looking again."""
FORGET_S = 600.0
"""Failures in a row count together where they come within this time."""
KEEP_S = 86_400.0
"""How long after its end it is remembered that a breaker was open."""
USUAL = 0.05
"""The failing share below which failures in a row are taken at their word, also with nothing known."""
SURE = 20
"""How many answers that belief weighs."""


MORE = re.compile(r"/(probe|window)/")
"""What is kept of a breaker besides its state."""


def is_down(error: LlmctlError) -> bool:
    """Whether the failure says that the provider is down, and not that it refuses this request.

    Connections, time-outs, 408 and 5xx, broken answers. Not 4xx, not 429, not an answer too long, not
    the end of a connection that had served before.
    """
    if isinstance(error, ServerError):
        return error.status is None or error.status == 408 or error.status >= 500
    return isinstance(error, ConnectionFailed | ProviderTimeout | BrokenAnswer) and not isinstance(
        error, OversizedAnswer | ConnectionDropped
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """A breaker as the state has it: `failures` in a row, `due` seconds until the next probe."""

    name: str
    state: Literal["closed", "open", "half-open"]
    failures: int
    due: float


def name_of(target: Target) -> str:
    """`openai/gpt-4o-mini@api.openai.com#3f2a9c10`: model, host, and a hash of address and keys."""
    host = urlsplit(target.api_base or "").netloc.rpartition("@")[2] or "local"
    group = digest(canonical([target.api_base, target.keys]))[:8]
    return f"{target.model}@{host}#{group}"


class Circuits:
    """The breakers of a run, one for each model, address and group of keys."""

    def __init__(self, rule: BreakerRule, state: SharedState, clock: Clock) -> None:
        self.rule = rule
        self.state = state
        self.clock = clock
        self._known: dict[tuple[str, str | None, tuple[str, ...]], Circuit] = {}

    def of(self, target: Target) -> Circuit:
        key = (target.model, target.api_base, target.keys)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Circuit(target, self.rule, self.state, self.clock)
        return found

    def seen(self) -> list[Seen]:
        """Every breaker that the state knows of, by name."""
        found = self.state().find("breaker/")
        names = sorted({key.split("/", 1)[1].rpartition("/")[0] for key in found if not MORE.search(key)})
        return [
            self._seen(name, found.get(f"breaker/{name}/until"), found.get(f"breaker/{name}/down") or 0)
            for name in names
        ]

    def of_target(self, target: Target) -> Seen:
        """One breaker, closed where the state knows nothing of it."""
        name, state = name_of(target), self.state()
        until, down = state.get(f"breaker/{name}/until"), state.get(f"breaker/{name}/down")
        return self._seen(name, until, down or 0)

    def _seen(self, name: str, until: int | None, failures: int) -> Seen:
        if until is None:
            return Seen(name, "closed", failures, 0.0)
        left = remaining(until, self.clock.now(), self.rule.cooldown)
        return Seen(name, "open" if left else "half-open", failures, left)

    def refuse(self, request: Request) -> None:
        """Raises BreakerOpen where the target's breaker has opened; the probe itself may go."""
        if not request.probe:
            self.of(request.target).refuse()

    def reset(self, name: str) -> None:
        """Closes the breaker of that name, in the state."""
        for key in self.state().find(f"breaker/{name}/"):
            self.state().delete(key)


class Circuit:
    """One breaker. Closed, it costs a call no look into the state but one in half a second."""

    def __init__(self, target: Target, rule: BreakerRule, state: SharedState, clock: Clock) -> None:
        name = name_of(target)
        self.model = target.model
        self.rule = rule
        self._state = state
        self._clock = clock
        self._key = f"breaker/{name}"
        self._lease = max(rule.cooldown, target.timeouts.total + 10.0)
        self._until: int | None = None
        self._marked = False
        self._well_at = float("-inf")
        self._look_at = float("-inf")
        self._probe = ""
        self._why = ""
        self._counts = Counts(self._key, rule, state, clock)

    def ask(self) -> float | None:
        """None: go ahead. 0.0: go ahead, as the one probe. Else the seconds after which to ask again."""
        now = self._clock.monotonic()
        if self._until is None and now < self._look_at:
            return None
        until = self._look(now)  # only what is true now may hold a request back, or let the probe go
        if until is None:
            return None
        left = remaining(until, self._clock.now(), self.rule.cooldown)
        if left:
            return left
        probe = f"{self._key}/probe/{until}"
        if self._state().add(probe, 1, ceiling=1, ttl=self._lease) is None:
            return ASK_AGAIN_S
        self._probe = probe
        return 0.0

    def refuse(self) -> None:
        """BreakerOpen where it is not closed, whatever is due: no probe is taken."""
        until = self._look(self._clock.monotonic())
        if until is not None:
            raise self.refusal(remaining(until, self._clock.now(), self.rule.cooldown))

    def went_well(self) -> None:
        """An answer came, of whatever kind: the provider is there."""
        self._counts.well()
        self._well_at = self._clock.monotonic()
        if self._marked:
            self._state.learn(self._close)

    def ended(self, error: LlmctlError, *, probe: bool = False) -> None:
        """It failed: with an answer after all, before it was sent, or in a way that says "down"."""
        if is_down(error):
            self._counts.failed()
            self._state.learn(self._failed, error, probe)
        elif error.tried and not isinstance(error, ConnectionDropped):
            self.went_well()
        elif probe:
            self.give_up_probe()

    def _failed(self, error: LlmctlError, probe: bool) -> None:
        """Opens the breaker where it is one failure too many.

        Of those in a row is only what was sent after the last answer: many that stalled together end
        together, long after others have shown that the provider is there.
        """
        latency = error.tried[-1].latency if error.tried else 0.0
        if (
            self._clock.monotonic() - latency < self._well_at
            and not probe
            and not self._counts.mostly_failing()
        ):
            return
        state = self._state()
        in_a_row = state.add(f"{self._key}/down", 1, ttl=FORGET_S) or 1
        self._marked = True
        self._why = error.type
        until = state.get(f"{self._key}/until")
        if probe or (until is None and (in_a_row >= self._enough(in_a_row) or self._counts.mostly_failing())):
            self._open()

    def give_up_probe(self) -> None:
        """It did not go out, or its end is not known: the next request may be the probe."""
        self._state.learn(self._free_probe)

    def _free_probe(self) -> None:
        self._state().delete(self._probe)

    def refusal(self, due: float) -> BreakerOpen:
        """The error for a request that is not sent; `due` seconds until the next probe."""
        failures = self._state().get(f"{self._key}/down") or 0
        after = f" after {failures} failures in a row" if failures > 1 else ""
        why = f" ({self._why})" if self._why else ""
        when = f"the next try is due in {due:.0f} s, at {clock_time(self._clock.now() + due)}"
        if due <= ASK_AGAIN_S:
            when = "one request is out to see whether it is back"
        return BreakerOpen(
            f"{self.model}: not asked, its breaker is open{after}{why}; {when}",
            hint="run it again then; llmctl breaker reset closes it by hand",
            retry_after=round(due, 3),
        )

    def _look(self, now: float) -> int | None:
        """Until when it is open, in Unix milliseconds; None where it is closed."""
        state = self._state()
        self._until = state.get(f"{self._key}/until")
        self._marked = self._until is not None or state.get(f"{self._key}/down") is not None
        self._look_at = now + LOOK_S
        self._counts.look(now)
        return self._until

    def _open(self) -> None:
        until = round((self._clock.now() + self.rule.cooldown) * 1000)
        self._state().set(f"{self._key}/until", until, ttl=self.rule.cooldown + KEEP_S)
        self._until = until
        self._counts.forget()

    def _close(self) -> None:
        state = self._state()
        state.delete(f"{self._key}/until")
        state.delete(f"{self._key}/down")
        if self._until is not None:
            self._counts.forget()
        self._until, self._marked = None, False

    def _enough(self, in_a_row: int) -> float:
        """How many failures in a row open it.

        The rule's number where failures are rare. Where a share f of all calls fails anyway, as many as
        are no more likely by chance: n with f^n = 0.05^failures.
        """
        good, bad = self._counts.sums()
        before = max(0, bad - in_a_row)
        share = (before + USUAL * SURE) / (good + before + SURE)
        return self.rule.failures * max(1.0, log(USUAL) / log(share))


def clock_time(at: float) -> str:
    """Unix seconds as the local time of day, seconds rounded up."""
    return time.strftime("%H:%M:%S", time.localtime(ceil(at)))


def remaining(until_ms: int, now: float, most: float) -> float:
    """Seconds to a moment in Unix milliseconds; 0 where it lies further off than it can: a clock set back."""
    left = until_ms / 1000 - now
    return left if 0 < left <= most + 1.0 else 0.0
