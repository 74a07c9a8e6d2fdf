"""What the metrics of alert rules come to: from the ledger, the budgets and the breakers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from llmctl.core.money import Nanos, show_usd, to_nanos, to_usd
from llmctl.core.profile import SHARES, AlertRule
from llmctl.usage.budgets import Status
from llmctl.usage.metrics import Metrics, last_success, metrics
from llmctl.usage.report import Query
from llmctl.usage.schema import reading

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
    _known: dict[tuple[object, ...], Metrics] = field(default_factory=dict)

    def read(self, rules: Sequence[AlertRule], now: float) -> list[Reading]:
        """A reading for each rule; equal windows are read once. StorageError where a file cannot be read."""
        self._known.clear()
        return [self._read(rule, now) for rule in rules]

    def _read(self, rule: AlertRule, now: float) -> Reading:
        if rule.metric in STANDING:
            return Reading(self._standing(rule, now), 0)
        found = self._metrics(rule, now, now)
        calls = found.total.calls
        return Reading(self._value(rule, found, now) if calls >= rule.min_calls else None, calls)

    def _standing(self, rule: AlertRule, now: float) -> float | None:
        if rule.metric == "breaker_open":
            return float(sum(name.startswith(rule.model or "") for name in self.breakers()))
        if rule.metric == "budget_used":
            return max((each.spent / each.limit for each in self.budgets() if each.limit), default=None)
        last = _last_good(self.ledger, rule)
        return None if last is None else max(0.0, now - last)

    def _value(self, rule: AlertRule, found: Metrics, now: float) -> float | None:
        group = found.total
        kind, _, what = rule.metric.partition("_")
        if kind in TIMES:
            value: float | None = getattr(group.latency if what == "latency" else group.ttft, TIMES[kind])
            return value
        if rule.metric == "cost_anomaly":
            return self._anomaly(rule, group.cost, now)
        an_hour = 3600 / window(rule)
        return {
            "error_rate": found.error_rate,
            "success_rate": found.success_rate,
            "cache_hit_rate": found.hit_rate,
            "cost_per_hour": None if group.cost is None else (to_usd(group.cost) or 0.0) * an_hour,
            "tokens_per_hour": found.tokens * an_hour,
            "calls_per_hour": group.calls * an_hour,
        }[rule.metric]

    def _anomaly(self, rule: AlertRule, cost: Nanos | None, now: float) -> float | None:
        """The window's cost against the median of the same window in past weeks, those with calls."""
        past = [self._metrics(rule, now - week * WEEK_S, now).total for week in range(1, WEEKS + 1)]
        known = [each for each in past if each.calls]
        if sum(each.calls for each in known) < rule.min_calls:
            return None
        usual = median(each.cost or 0 for each in known)
        return None if not usual or cost is None else cost / usual

    def _metrics(self, rule: AlertRule, end: float, now: float) -> Metrics:
        """The calls of the window that ends then."""
        key = (window(rule), end, rule.profile, rule.model, rule.tag)
        if key not in self._known:
            until = end if end < now else None  # an open end is read from the sums, a closed one call by call
            query = _query(rule, end - window(rule), until)
            self._known[key] = metrics(self.ledger, query, now=end, spill=True)
        return self._known[key]


def window(rule: AlertRule) -> float:
    """Seconds."""
    if rule.window is not None:
        return rule.window
    return MONEY_WINDOW_S if rule.metric.startswith("cost_") else WINDOW_S


def _last_good(ledger: Path, rule: AlertRule) -> float | None:
    """Unix seconds at which the newest good call began, else the first call; None without calls."""
    if not ledger.exists():
        return None
    query = _query(rule, None, None)
    with reading(ledger) as db:
        good = last_success(db, query)
        if good is not None:
            return good
        names = "".join(f" AND coalesce({name}, '') = ?" for name in query.filters)
        sql = f"SELECT at FROM calls WHERE 1 {names} ORDER BY at LIMIT 1"  # noqa: S608  # our own names
        first = db.execute(sql, tuple(query.filters.values())).fetchone()
    return None if first is None else float(first[0])


def _query(rule: AlertRule, since: float | None, until: float | None) -> Query:
    return Query(since, until, (), None, rule.profile, rule.model, rule.tag)


def limit(rule: AlertRule) -> float:
    """What the value may not pass; a breaker may not be open at all."""
    given = rule.over if rule.under is None else rule.under
    return 0.0 if given is None else given


def broken(rule: AlertRule, value: float | None, *, firing: bool) -> bool:
    """Whether the value is beyond the limit; once it fires, until it is back by the rule's margin.

    Of a share that is too low the margin is that part of the way to 1, where that is less: 1.045 is no share.
    """
    if value is None:
        return False
    if rule.under is not None:
        way = min(rule.under, 1 - rule.under) if rule.metric in SHARES else rule.under
        return value < rule.under + way * rule.margin * firing
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
    """`45 s`, `15 min`, `26 h`, `3 d`."""
    for least, size, unit in ((172_800, 86_400, "d"), (3600, 3600, "h"), (60, 60, "min")):
        if seconds >= least:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
