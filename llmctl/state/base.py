"""What every state backend shares: the protocol, and the rules of time and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmctl.core.ports import Account, Full, Held, State, Traded

__all__ = ["Account", "Full", "Held", "State", "Traded"]

LARGEST = 2**61
"""Amounts and ceilings are cut to it, so that no sum of two passes 63 bits."""

LOST_AFTER_S = 86_400.0
"""What was sent this long ago will not settle any more; it stays counted in full."""

KEPT_S = 40 * 86_400.0
"""How long an account is kept after its `until`: a clock that jumps must not make it forget."""

SLACK_S = 1.0
"""How much further off than `ttl` a counter's end may be before the clock counts as set back."""


def clamp(amount: int) -> int:
    """The amount within ±LARGEST."""
    return max(-LARGEST, min(amount, LARGEST))


def beyond(amount: int, value: int, ceiling: int | None) -> bool:
    """Whether adding to the value would pass the ceiling; taking away never does."""
    return ceiling is not None and amount > 0 and value + amount > ceiling


def admit(
    accounts: Sequence[Account], values: Mapping[str, int], wanted: Sequence[int]
) -> tuple[list[bool], Full | None]:
    """Which of the amounts fit on top of the values, one after the other, and the first refusal."""
    now = dict(values)
    taken: list[bool] = []
    first: Full | None = None
    for amount in wanted:
        full = next((a for a in accounts if beyond(amount, now[a.key], min(a.ceiling, LARGEST))), None)
        taken.append(full is None)
        if full is None:
            for account in accounts:
                now[account.key] += amount
        elif first is None:
            first = Full(full, now[full.key])
    return taken, first
