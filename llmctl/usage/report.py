"""The ledger as a report: calls, tokens, money and time, by whatever one groups by."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmctl.core.errors import UsageError
from llmctl.core.money import Nanos, to_usd
from llmctl.usage import select, times
from llmctl.usage.schema import reading

BY = ("day", "hour", "month", "model", "profile", "provider", "tag", "run", "status")
RANKS = (0.5, 0.95, 0.99)
FAR = 1e15
"""Seconds, thirty million years."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which calls, and how they are grouped.

    `since` and `until` in Unix seconds, until not included; `by` names of `BY`; `tz` an IANA name,
    None for the machine's zone; the filters are exact names, a `tag` of '' means calls without one.
    """

    since: float | None = None
    until: float | None = None
    by: tuple[str, ...] = ("day", "model")
    tz: str | None = None
    profile: str | None = None
    model: str | None = None
    tag: str | None = None

    @property
    def window(self) -> tuple[float, float]:
        """Since and until, where not given so far away that no call lies beyond."""
        return -FAR if self.since is None else self.since, FAR if self.until is None else self.until

    @property
    def filters(self) -> dict[str, str]:
        """The columns to be filtered, and the values to keep."""
        wanted = {"profile": self.profile, "model": self.model, "tag": self.tag}
        return {name: value for name, value in wanted.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds; None where nothing was measured."""

    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None

    def envelope(self) -> dict[str, float | None]:
        if self.mean is None or self.p50 is None or self.p95 is None or self.p99 is None:
            return {"mean": None, "p50": None, "p95": None, "p99": None}
        return {
            "mean": round(self.mean, 6),
            "p50": round(self.p50, 6),
            "p95": round(self.p95, 6),
            "p99": round(self.p99, 6),
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Calls with the same key.

    `calls` counts requests asked of llmctl, those that a cache answered (`cached`) included; `cost`
    and `saved` are the sums of what is known in nano-dollars, None where nothing is; `unpriced` and
    `unsaved` count the calls whose cost or saving is unknown. The times are of calls that no cache
    answered: hits would hide a slow provider.
    """

    key: Mapping[str, str | None] = field(default_factory=dict)
    calls: int = 0
    ok: int = 0
    cached: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Nanos | None = 0
    unpriced: int = 0
    saved: Nanos | None = 0
    unsaved: int = 0
    attempts: int = 0
    retries: int = 0
    latency: Times = Times()
    ttft: Times = Times()

    @property
    def failed(self) -> int:
        return self.calls - self.ok

    @property
    def hit_rate(self) -> float | None:
        """Share of the calls that a cache answered."""
        return self.cached / self.calls if self.calls else None

    def envelope(self) -> dict[str, Any]:
        """The object of `usage --json`."""
        return {
            "key": dict(self.key),
            "calls": self.calls,
            "ok": self.ok,
            "failed": self.failed,
            "cached": self.cached,
            "hit_rate": None if self.hit_rate is None else round(self.hit_rate, 6),
            "attempts": self.attempts,
            "retries": self.retries,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "cost_usd": to_usd(self.cost),
            "unpriced": self.unpriced,
            "saved_usd": to_usd(self.saved),
            "unsaved": self.unsaved,
            "latency_s": self.latency.envelope(),
            "ttft_s": self.ttft.envelope(),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What `report` found; `exact` says whether the percentiles are, or within 1 %."""

    query: Query
    groups: tuple[Group, ...] = ()
    total: Group = Group()
    exact: bool = True

    def envelope(self) -> dict[str, Any]:
        """The object of `usage --json`, without its schema number."""
        where = times.zone(self.query.tz)
        since, until = self.query.since, self.query.until
        return {
            "since": None if since is None else times.iso(since, where),
            "until": None if until is None else times.iso(until, where),
            "by": list(self.query.by),
            "exact": self.exact,
            "groups": [group.envelope() for group in self.groups],
            "total": self.total.envelope(),
        }


def report(db_path: Path, query: Query, *, now: float | None = None) -> Report:
    """The ledger's calls, grouped. No ledger is a report of no calls.

    `now` in Unix seconds decides which unanswered calls are lost. UsageError for an unknown
    grouping or zone; StorageError where the ledger is corrupt or locked.
    """
    where = checked(query)
    if not db_path.exists():
        return Report(query)
    with reading(db_path) as db:
        tallies, exact = select.tallies(db, query, where, time.time() if now is None else now)
    total = select.Tally()
    for tally in tallies.values():
        total.merge(tally)
    groups = [group_of(dict(zip(query.by, key, strict=True)), tally) for key, tally in tallies.items()]
    return Report(query, tuple(_sorted(groups, query.by)), group_of({}, total), exact)


def checked(query: Query) -> times.Zone:
    """The query's zone. UsageError where a grouping or the zone is unknown."""
    for name in query.by:
        if name not in BY:
            raise UsageError(f"--by {name}: there is no such grouping", hint=f"one of {', '.join(BY)}")
    return times.zone(query.tz)


def _sorted(groups: list[Group], by: tuple[str, ...]) -> list[Group]:
    """In the order of their keys; where time is no part of it the dearest first."""
    groups.sort(key=lambda group: tuple(value or "" for value in group.key.values()))
    if not set(by) & {"month", "day", "hour"}:
        groups.sort(key=lambda group: (group.cost or 0, group.calls), reverse=True)
    return groups


def group_of(key: Mapping[str, str], tally: select.Tally) -> Group:
    """A tally with its key ('' for none), for people."""
    calls, hits, asked, said, cached, thought, cost, unpriced, saved, unsaved, attempts, retries = tally.sums
    return Group(
        key={name: value or None for name, value in key.items()},
        calls=calls,
        ok=tally.ok,
        cached=hits,
        input_tokens=asked,
        output_tokens=said,
        cached_tokens=cached,
        reasoning_tokens=thought,
        cost=cost if cost or not unpriced else None,
        unpriced=unpriced,
        saved=saved if saved or not unsaved else None,
        unsaved=unsaved,
        attempts=attempts,
        retries=retries,
        latency=Times(*tally.latency.summary(RANKS)),
        ttft=Times(*tally.ttft.summary(RANKS)),
    )
