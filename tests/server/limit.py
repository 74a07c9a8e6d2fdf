"""A provider's own limits: who asks too much at once or too fast is refused at once."""

from __future__ import annotations

import time
from math import inf

from .answer import Json, require
from .faults import Spec, parse

FIELDS = {"at_once", "per_second", "burst", "fault"}


class Limit:
    """At most `at_once` are being answered, and `per_second` in the long run, `burst` in a moment."""

    def __init__(self, given: Json) -> None:
        unknown = ", ".join(sorted(given.keys() - FIELDS))
        require(
            not unknown, f"unknown field of a script: limits: {unknown}; known: {', '.join(sorted(FIELDS))}"
        )
        self.at_once = float(given.get("at_once", inf))
        self.per_second = float(given.get("per_second", 0))
        self.burst = float(given.get("burst", self.per_second))
        self.refusal: Spec | None = parse(given.get("fault", "rate_limited"))
        self.running = 0
        self._left = self.burst
        self._at = time.monotonic()

    def admits(self) -> bool:
        """Whether one more may be answered; it then counts until `leave`."""
        now = time.monotonic()
        self._left = min(self.burst, self._left + (now - self._at) * self.per_second)
        self._at = now
        if self.running >= self.at_once or (self.per_second and self._left < 1):
            return False
        self.running += 1
        self._left -= 1
        return True

    def leave(self) -> None:
        self.running -= 1
