"""The kit that every state backend is tested with: how each is made, under a clock that tests turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llmctl.core.ports import State
from llmctl.state.memory import MemoryState
from llmctl.state.sqlite import SqliteState


@dataclass
class Turned:
    """A clock that stands until a test turns it."""

    time: float = 1_800_000_000.0

    def now(self) -> float:
        return self.time


Opener = Callable[[], State]
"""Gives one more handle to the same state, as another process would have."""


def memory(folder: Path, clock: Turned) -> Opener:
    state = MemoryState(clock.now)
    return lambda: state


def sqlite(folder: Path, clock: Turned) -> Opener:
    return lambda: SqliteState(folder / "home" / "state.db", clock.now)


BACKENDS: dict[str, Callable[[Path, Turned], Opener]] = {"memory": memory, "sqlite": sqlite}
