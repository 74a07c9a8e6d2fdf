"""What the metrics of alert rules come to: from the ledger, the budgets and the breakers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from llmctl.core.money import show_usd, to_nanos, to_usd
from llmctl.core.profile import SHARES, AlertRule
from llmctl.usage.budgets import Status
from llmctl.usage.report import Group, Query, report
from llmctl.usage.since import last_success

WINDOW_S = 900.0
MONEY_WINDOW_S = 3600.0
"""How far back is looked where a rule does not say."""
WEEK_S = 7 * 86_400.0
WEEKS = 4
"""How many weeks back `cost_anomaly` compares with."""
STANDING = frozenset({"budget_used", "breaker_open", "no_success_for"})
"""Metrics that are no sums over calls: no minimum of calls is asked of them."""
TIMES = {"avg": "mean", "p50": "p50", "p95": "p95", "p99": "p99"}


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric's `value`, None where there is nothing to judge by, and the `calls` in the window.

    Shares lie between 0 and 1, times are seconds, money is USD, `cost_anomaly` how many times as much.
    """

    value: float | None
    calls: int


@dataclass(slots=True)
class Sources:
    """Where readings come from. `breakers` names those that are not closed."""

    ledger: Path
    budgets: Callable[[], Sequence[Status]]
    breakers: Callable[[], Sequence[str]]
    _groups: dict[tuple[object, ...], Group] = field(default_factory=dict)

    def read(self, rules: Sequence[AlertRule], now: float) -> list[Reading]:
        """A reading for each rule; equal windows are read once. StorageError where a file cannot be read."""
        self._groups.clear()
        return [self._read(rule, now) for rule in rules]

    def _read(self, rule: AlertRule, now: float) -> Reading:
        if rule.metric in STANDING:
            return Reading(self._standing(rule, now), 0)
        group = self._group(rule, now)
        value = self._value(rule, group, now) if group.calls >= rule.min_calls else None
        return Reading(value, group.calls)

    def _standing(self, rule: AlertRule, now: float) -> float | None:
        if rule.metric == "breaker_open":
            return float(sum(name.startswith(rule.model or "") for name in self.breakers()))
        if rule.metric == "budget_used":
            return max((each.spent / each.limit for each in self.budgets() if each.limit), default=None)
        last = last_success(self.ledger, _query(rule, None, None))
        return None if last is None else max(0.0, now - last)

    def _value(self, rule: AlertRule, group: Group, now: float) -> float | None:
        kind, _, what = rule.metric.partition("_")
        if kind in TIMES:
            value: float | None = getattr(group.latency if what == "latency" else group.ttft, TIMES[kind])
            return value
        if rule.metric == "cost_anomaly":
            return self._anomaly(rule, group, now)
        an_hour = 3600 / window(rule)
        return {
            "error_rate": group.failed / group.calls,
            "success_rate": group.ok / group.calls,
            "cache_hit_rate": group.cached / group.calls,
            "cost_per_hour": None if group.cost is None else (to_usd(group.cost) or 0.0) * an_hour,
            "tokens_per_hour": (group.input_tokens + group.output_tokens) * an_hour,
            "calls_per_hour": group.calls * an_hour,
        }[rule.metric]

    def _anomaly(self, rule: AlertRule, group: Group, now: float) -> float | None:
        """The window's cost against the median of the same window in past weeks, those with calls."""
        past = [self._group(rule, now - week * WEEK_S) for week in range(1, WEEKS + 1)]
        known = [each for each in past if each.calls]
        if sum(each.calls for each in known) < rule.min_calls:
            return None
        usual = median(each.cost or 0 for each in known)
        return None if not usual or group.cost is None else group.cost / usual

    def _group(self, rule: AlertRule, end: float) -> Group:
        """The calls of the window that ends then."""
        key = (window(rule), end, rule.profile, rule.model, rule.tag)
        if key not in self._groups:
            query = _query(rule, end - window(rule), end)
            self._groups[key] = report(self.ledger, query, now=end).total
        return self._groups[key]


def window(rule: AlertRule) -> float:
    """Seconds."""
    if rule.window is not None:
        return rule.window
    return MONEY_WINDOW_S if rule.metric.startswith("cost_") else WINDOW_S


def _query(rule: AlertRule, since: float | None, until: float | None) -> Query:
    return Query(since, until, (), None, rule.profile, rule.model, rule.tag)


def limit(rule: AlertRule) -> float:
    """What the value may not pass; a breaker may not be open at all."""
    given = rule.over if rule.under is None else rule.under
    return 0.0 if given is None else given


def broken(rule: AlertRule, value: float | None, *, firing: bool) -> bool:
    """Whether the value is beyond the limit; once it fires, until it is back by the rule's margin."""
    if value is None:
        return False
    if rule.under is not None:
        return value < rule.under * (1 + rule.margin * firing)
    return value > limit(rule) * (1 - rule.margin * firing)


def name(rule: AlertRule) -> str:
    """As the rule says, else such as `error_rate over 10 %`."""
    if rule.name:
        return rule.name
    scope = "".join(
        f" {key}={value}" for key in ("profile", "model", "tag") if (value := getattr(rule, key)) is not None
    )
    which = "under" if rule.under is not None else "over"
    return f"{rule.metric} {which} {shown(rule, limit(rule))}{scope}"


def shown(rule: AlertRule, value: float | None) -> str:
    """A value of the rule's metric for people."""
    if value is None:
        return "-"
    metric = rule.metric
    if metric in SHARES:
        return f"{100 * value:.3g} %"
    if metric.endswith(("_latency", "_ttft")):
        return f"{value:.3g} s" if value < 1000 else f"{value:,.0f} s"
    if metric == "no_success_for":
        return spell(value)
    if metric == "cost_per_hour":
        return show_usd(to_nanos(value))
    return f"{value:.3g} ×" if metric == "cost_anomaly" else f"{value:,.0f}"


def spell(seconds: float) -> str:
    """`45 s`, `15 min`, `1.5 h`, `2 d`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
