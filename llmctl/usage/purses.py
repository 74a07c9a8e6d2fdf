"""Which budgets are in force, and where their counters are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llmctl.core.model import Request
from llmctl.core.money import Nanos
from llmctl.core.ports import State
from llmctl.core.profile import BudgetRule
from llmctl.usage.budgets import Budget, MaxCost


@dataclass(frozen=True, slots=True)
class Purse:
    """Budgets whose counters are in one state, which is opened when it is first needed."""

    budgets: Sequence[Budget]
    open: Callable[[], State]

    def asked(self, request: Request, now: float) -> dict[str, Budget]:
        """The budgets that count the request, by counter; of two on one counter the tighter."""
        found: dict[str, Budget] = {}
        for budget in self.budgets:
            if budget.counts(request):
                key = budget.account(now).key
                if key not in found or budget.limit < found[key].limit:
                    found[key] = budget
        return found


def purses(
    max_cost: Nanos | None, rules: Sequence[BudgetRule], state: Callable[[], State], run: str | None
) -> list[Purse]:
    """That of the command first. `run` names a run of which other processes spend under `max_cost` too.

    Without it that limit is kept in this process's memory.
    """
    found = []
    if max_cost is not None and run is not None:
        found.append(Purse((MaxCost(max_cost, run),), state))
    elif max_cost is not None:
        from time import time

        from llmctl.state.memory import MemoryState

        memory = MemoryState(time)
        found.append(Purse((MaxCost(max_cost),), lambda: memory))
    if rules:
        found.append(Purse([Budget(rule) for rule in rules], state))
    return found
