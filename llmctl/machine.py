"""What a process has of its machine: time, chance, and the secrets that it may read."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from llmctl.core.errors import Interrupted
from llmctl.core.hidden import KEYS

if TYPE_CHECKING:
    from asyncio import Event


class SystemClock:
    """The machine's own time. `wake` ends all sleeps with Interrupted, now and from then on."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self._woken = False
        self._alarm: Event | None = None

    async def sleep(self, seconds: float) -> None:
        import asyncio

        if self._alarm is None:
            self._alarm = asyncio.Event()
        if not self._woken:
            try:
                await asyncio.wait_for(self._alarm.wait(), seconds)
            except TimeoutError:
                return
        raise Interrupted(2, "interrupted while waiting to try again")

    def wake(self) -> None:
        self._woken = True
        if self._alarm is not None:
            self._alarm.set()


class SystemRandom:
    """Chance from the operating system: no seed to share between processes."""

    def random(self) -> float:
        return int.from_bytes(os.urandom(7)) / (1 << 56)


class Secrets:
    """Keys by reference, resolved once and kept in memory alone."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._known: dict[str, str] = {}
        KEYS.watch(environ)

    def resolve(self, reference: str) -> str:
        if reference not in self._known:
            from llmctl.config.keys import resolve as read_key

            self._known[reference] = read_key(reference, self._environ)
            KEYS.add(self._known[reference])
        return self._known[reference]
