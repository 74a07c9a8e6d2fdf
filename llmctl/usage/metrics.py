"""One set of figures over the ledger, for whoever watches: page, alerts, Prometheus, terminal.

    found = metrics(home / "ledger.db", Query(since=now - 900, profile="prod"), now=now)
    found.total.calls, found.error_rate, found.total.latency.p95, found.by("model")["openai/gpt-4o-mini"].cost

`Query` says the window and the filters (profile, model, tag); its `by` and `tz` are not looked at. A
window costs what it shows: whole slots of the sums that are kept as calls come in (`usage.rollup`),
the calls themselves at its ragged edges. So begin it at `aligned(since)` where a quarter of an hour
more does no harm, and leave `until` away for "up to now".

A rate is None where there was nothing to have a share of; a threshold is never broken by None.
Every failed call counts in `error_rate`, a refused request and a lost call too. What costs money,
`total.cost`, is in nano-dollars, None where no price is known; `total.unpriced` calls are missing in it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from llmctl.core.money import Nanos
from llmctl.usage import rollup, select
from llmctl.usage.report import Group, Query, checked, group_of
from llmctl.usage.schema import reading

DIVIDED = ("profile", "model", "provider", "tag")
_BY = (*DIVIDED, "status")
SHORTEST = rollup.SIZES[-1]
"""Seconds of the shortest slot."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """What the calls of a window came to.

    `errors` are failed calls by type of error, the most frequent first (`lost`: never heard of
    again); `last_success` is the Unix time at which the newest good call began, whenever that was
    and under the same filters, None where there is none; `exact` says whether the percentiles are,
    or within 1 %; `kinds` are the sums of which all of it is made, by profile, model, provider, tag and
    status ('' for none).
    """

    query: Query
    total: Group
    errors: Mapping[str, int]
    last_success: float | None
    exact: bool
    parts: Mapping[str, Mapping[str, Group]]
    kinds: Mapping[select.Key, select.Tally]

    @property
    def success_rate(self) -> float | None:
        return self.total.ok / self.total.calls if self.total.calls else None

    @property
    def error_rate(self) -> float | None:
        return self.total.failed / self.total.calls if self.total.calls else None

    @property
    def hit_rate(self) -> float | None:
        """Share of the calls that a cache answered."""
        return self.total.hit_rate

    @property
    def tokens(self) -> int:
        """Of input and output; cached and reasoning tokens are parts of these."""
        return tokens(self.total)

    def by(self, name: str) -> Mapping[str, Group]:
        """Groups by `profile`, `model`, `provider` or `tag` ('' is none), the dearest first."""
        return self.parts[name]

    def cost(self, name: str) -> dict[str, Nanos | None]:
        """Nano-dollars by `profile`, `model`, `provider` or `tag`."""
        return {key: group.cost for key, group in self.parts[name].items()}


def tokens(group: Group) -> int:
    return group.input_tokens + group.output_tokens


def aligned(since: float) -> float:
    """The beginning of the shortest slot that the time lies in: no call has to be read for that edge."""
    return since // SHORTEST * SHORTEST


def metrics(db_path: Path, query: Query, *, now: float | None = None, spill: bool = False) -> Metrics:
    """The figures of a window; no ledger is one without calls. Errors as of `report`.

    `spill`: slower, and without memory that grows with the calls: for whoever looks while many come in.
    """
    query = replace(query, by=_BY, tz="UTC")
    where = checked(query)
    if not db_path.exists():
        return Metrics(query, Group(), {}, None, True, {name: {} for name in DIVIDED}, {})
    with reading(db_path, spill=spill) as db:
        found, exact = select.tallies(db, query, where, time.time() if now is None else now)
        errors = _errors(db, query)
        last = last_success(db, query)
    for key, tally in found.items():
        if key[-1] == "lost":
            errors["lost"] = errors.get("lost", 0) + tally.sums[0]
    for tally in found.values():
        tally.latency.compact()
        tally.ttft.compact()
    parts = {name: _groups(_merged(found, place)) for place, name in enumerate(DIVIDED)}
    total = select.Tally()
    for tally in found.values():
        total.merge(tally)
    errors = dict(sorted(errors.items(), key=lambda each: (-each[1], each[0])))
    return Metrics(query, group_of({}, total), errors, last, exact, parts, found)


def _merged(found: Mapping[select.Key, select.Tally], place: int) -> dict[str, select.Tally]:
    merged: dict[str, select.Tally] = {}
    for key, tally in found.items():
        merged.setdefault(key[place], select.Tally()).merge(tally)
    return merged


def _groups(tallies: Mapping[str, select.Tally]) -> dict[str, Group]:
    groups = {name: group_of({}, tally) for name, tally in tallies.items()}
    return dict(sorted(groups.items(), key=lambda each: (-(each[1].cost or 0), -each[1].calls, each[0])))


def _errors(db: sqlite3.Connection, query: Query) -> dict[str, int]:
    """Failed calls by type; lost ones are not among them."""
    filters = "".join(f" AND coalesce(t.{name}, '') = ?" for name in query.filters)
    slots = f"""
        SELECT error, sum(calls) FROM errors WHERE size = ? AND slot >= ? AND slot < ?
            AND kind IN (SELECT id FROM kinds AS t WHERE TRUE {filters}) GROUP BY 1
    """  # noqa: S608  # our own names
    rows = f"""
        SELECT coalesce(error, ''), count(*) FROM calls AS t
        WHERE at >= ? AND at < ? AND status <> 'ok' {filters} GROUP BY 1
    """  # noqa: S608  # our own names
    found: dict[str, int] = {}
    for size, first, last in rollup.cover(*query.window):
        window = (size, first, last) if size else (first, last)
        for error, calls in db.execute(slots if size else rows, (*window, *query.filters.values())):
            found[error] = found.get(error, 0) + calls
    return found


def last_success(db: sqlite3.Connection, query: Query) -> float | None:
    """When the newest good call of the filters began, by Unix time: found in the last slot with one."""
    slot = db.execute(_last_slot(tuple(query.filters)), (SHORTEST, *query.filters.values())).fetchone()[0]
    if slot is None:
        return None
    values = (slot * SHORTEST, (slot + 1) * SHORTEST, *query.filters.values())
    found = db.execute(_last_call(tuple(query.filters)), values).fetchone()[0]
    return None if found is None else float(found)


def _conditions(filters: tuple[str, ...]) -> str:
    return "".join(f" AND coalesce({name}, '') = ?" for name in filters)


@cache
def _last_slot(filters: tuple[str, ...]) -> str:
    """Of each kind the last slot is one step in an index."""
    return f"""
        SELECT max(slot) FROM slots WHERE size = ? AND kind IN
            (SELECT id FROM kinds WHERE status = 'ok' {_conditions(filters)})
    """  # noqa: S608  # our own names


@cache
def _last_call(filters: tuple[str, ...]) -> str:
    return f"""
        SELECT max(at) FROM calls WHERE at >= ? AND at < ? AND status = 'ok' {_conditions(filters)}
    """  # noqa: S608  # our own names
