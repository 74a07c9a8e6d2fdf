"""The state as those see it who go by it before a request is sent, and learn from how it ended."""

from __future__ import annotations

from collections.abc import Callable

from llmctl.core.errors import StorageError
from llmctl.core.ports import Clock, State

REST_S = 60.0
"""How long nothing is written after a failure: a locked file would stall every answer for its whole wait."""


class SharedState:
    """Called, it gives the state: what has to be known before a request is sent may fail.

    What is learned after it was sent may not: an answer that was paid for, or the provider's own
    error, is worth more than a note about it.
    """

    def __init__(self, state: Callable[[], State], clock: Clock, warn: Callable[[str], None]) -> None:
        self._state = state
        self._clock = clock
        self._warn = warn
        self._warned = False
        self._rests_until = float("-inf")

    def __call__(self) -> State:
        return self._state()

    def learn(self, note: Callable[..., object], *given: object) -> None:
        """Calls `note`, which writes to the state. Where that fails it is lost, and told once."""
        if self._clock.monotonic() < self._rests_until:
            return
        try:
            note(*given)
        except StorageError as error:
            self._rests_until = self._clock.monotonic() + REST_S
            if not self._warned:
                self._warned = True
                self._warn(f"limits, breakers and keys are not up to date: {error.message}")
