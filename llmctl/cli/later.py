"""What is done when a command has said all it has to say: nobody waits for it before the answer."""

from __future__ import annotations

from collections.abc import Callable

_STEPS: list[Callable[[], None]] = []


def add(step: Callable[[], None]) -> None:
    _STEPS.append(step)


def finish() -> None:
    """Takes the steps, each once."""
    while _STEPS:
        _STEPS.pop(0)()


def reset() -> None:
    """Forgets the steps of a command that was interrupted."""
    _STEPS.clear()
