"""Budgets: which calls a rule counts, in which counter, until when, and how much of it is left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal

from llmctl.core.errors import ConfigError, UsageError
from llmctl.core.model import Request
from llmctl.core.money import Nanos, show_usd, to_usd
from llmctl.core.ports import Account, State
from llmctl.core.profile import BudgetRule
from llmctl.usage import times

SCOPES = ("profile", "model", "provider", "tag")
FOREVER = float("inf")


class Budget:
    """A rule at work. ConfigError at the first use where its zone is not known."""

    def __init__(self, rule: BudgetRule) -> None:
        self.rule = rule
        self.limit: Nanos = rule.limit
        named = [(name, getattr(rule, name)) for name in SCOPES]
        self.scope = " ".join(f"{name}={value}" for name, value in named if value is not None) or "all"
        self.narrow = frozenset(name for name, value in named if value is not None)
        self.name = rule.name or (rule.per if self.scope == "all" else f"{rule.per} {self.scope}")
        self._looked = FOREVER
        self._until = 0.0
        self._account = Account("", 0)

    def counts(self, request: Request) -> bool:
        """Whether the request's money is this budget's; a model goes by its name here or its full one."""
        rule, target = self.rule, request.target
        return (
            rule.profile in (None, request.profile)
            and rule.model in (None, target.name, target.model, target.bare_model)
            and rule.provider in (None, target.provider)
            and rule.tag in (None, request.tag)
        )

    def account(self, now: float) -> Account:
        """The counter of the period that `now` falls on. The limit is no part of its name."""
        if not self._looked <= now < self._until:
            period, until = self.period(now)
            key = f"budget/{self.rule.per}/{self.rule.tz}/{period}/{self.scope}"
            self._account = Account(key, self.limit, None if until == FOREVER else until)
            self._looked, self._until = now, until
        return self._account

    @property
    def title(self) -> str:
        """For people: `budget ci ($5.00 an hour)`."""
        per = {"total": "in all", "hour": "an hour"}.get(self.rule.per, f"a {self.rule.per}")
        return f"budget {self.name} ({show_usd(self.limit)} {per})"

    def advice(self, now: float, amount: Nanos) -> str:
        """What to do where the amount does not fit."""
        if amount > self.limit:
            return "lower max_tokens, or raise the budget in the profile"
        resets = self.resets_at(now)
        return f"it resets at {resets}; see llmctl budget" if resets else "see llmctl budget"

    def period(self, now: float) -> tuple[str, float]:
        """Its name, and the Unix seconds at which it ends: by the rule's own clock, summer time included."""
        per = self.rule.per
        if per == "total":
            return "", FOREVER
        if per == "hour":
            return hour(now, self._zone)
        day = datetime.fromtimestamp(now, self._zone).date()
        if per == "month":
            return f"{day:%Y-%m}", times.midnight(times.next_month(day), self._zone)
        if per == "week":
            day -= timedelta(days=day.weekday())
        after = day + timedelta(days=7 if per == "week" else 1)
        return day.isoformat(), times.midnight(after, self._zone)

    def resets_at(self, now: float) -> str | None:
        """ISO 8601 in the rule's zone; None: never."""
        until = self.account(now).until
        return None if until is None else times.iso(until, self._zone)

    @cached_property
    def _zone(self) -> times.Zone:
        try:
            return times.zone(self.rule.tz)
        except UsageError as error:
            raise ConfigError(
                f"budget {self.name}: tz: {self.rule.tz}: not a time zone known here", hint=error.hint
            ) from None


class MaxCost(Budget):
    """The limit of one command, kept in its own memory, or under its run's name for all its processes."""

    def __init__(self, limit: Nanos, run: str = "") -> None:
        super().__init__(BudgetRule(limit=limit, warn=0))
        self.name = "--max-cost"
        self._run = run

    def account(self, now: float) -> Account:
        if not self._account.key:
            self._account = Account(f"max-cost/{self._run}", self.limit, now if self._run else None)
        return self._account

    @property
    def title(self) -> str:
        return f"--max-cost {show_usd(self.limit)}"

    def advice(self, now: float, amount: Nanos) -> str:
        return "raise --max-cost, or lower max_tokens"


def hour(now: float, zone: times.Zone) -> tuple[str, float]:
    """The hour that comes twice when summer ends is two: the zone's offset is part of the name."""
    name = times.name(now, "hour", zone)
    _, stop, _ = next(times.split(now, now + 7200, "hour", zone))
    return name, stop


@dataclass(frozen=True, slots=True)
class Status:
    """How a budget stands; money in nano-dollars. `left` is what is neither spent nor reserved."""

    name: str
    scope: str
    per: str
    tz: str
    limit: Nanos
    spent: Nanos
    reserved: Nanos
    resets_at: str | None
    warn: float

    @property
    def left(self) -> Nanos:
        return max(0, self.limit - self.spent - self.reserved)

    @property
    def state(self) -> Literal["ok", "warn", "over"]:
        if self.spent >= self.limit:
            return "over"
        return "warn" if self.warn and self.spent >= self.warn * self.limit else "ok"

    def envelope(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "scope": self.scope,
            "per": self.per,
            "tz": self.tz,
            "limit_usd": to_usd(self.limit),
            "spent_usd": to_usd(self.spent),
            "reserved_usd": to_usd(self.reserved),
            "left_usd": to_usd(self.left),
            "resets_at": self.resets_at,
            "state": self.state,
        }


def statuses(budgets: Sequence[Budget], state: State, now: float) -> list[Status]:
    """How each budget stands now. What dead processes held is given back first."""
    held = state.held()
    found = []
    for budget in budgets:
        key = budget.account(now).key
        reserved = sum(each.amount for each in held if key in each.keys)
        committed = max(state.get(key) or 0, reserved)
        rule = budget.rule
        found.append(
            Status(
                name=budget.name,
                scope=budget.scope,
                per=rule.per,
                tz=rule.tz,
                limit=budget.limit,
                spent=committed - reserved,
                reserved=reserved,
                resets_at=budget.resets_at(now),
                warn=rule.warn,
            )
        )
    return found


def too_much(amount: Nanos, found: Iterable[Status]) -> list[Status]:
    """The budgets that the amount would not fit into."""
    return [each for each in found if amount > 0 and amount > each.left]
