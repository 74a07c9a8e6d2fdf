"""The ledger's sums, by whatever one groups by."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from llmctl.core.errors import UsageError
from llmctl.core.model import Usage
from llmctl.usage import select
from llmctl.usage.report import BY, Group, Query, Report, report

from .kit import Kit, when

NOON = when("2026-11-22T12:00")


def by_key(found: Report) -> dict[tuple[str | None, ...], Group]:
    return {tuple(group.key.values()): group for group in found.groups}


def test_the_envelope_is_the_contract(tmp_path: Path) -> None:
    """Scripts read these names; none may be renamed."""
    kit = Kit(tmp_path / "ledger.db")
    kit.call(NOON, latency=2.0, cost=1_500_000, ttft=0.5, usage=Usage(100, 40, 30, 20))
    kit.call(NOON + 1, hit="exact", cost=1_500_000, usage=Usage(100, 40, 30, 20))
    kit.failed(NOON + 2, latency=4.0)
    kit.done()
    body = report(kit.path, Query(since=NOON, tz="Europe/Madrid")).envelope()
    assert body["since"] == "2026-11-22T13:00:00+01:00"
    assert body["until"] is None
    group = {
        "calls": 3,
        "ok": 2,
        "failed": 1,
        "cached": 1,
        "hit_rate": 0.333333,
        "attempts": 2,
        "retries": 0,
        "input_tokens": 200,
        "output_tokens": 80,
        "cached_tokens": 60,
        "reasoning_tokens": 40,
        "cost_usd": 0.0015,
        "unpriced": 0,
        "saved_usd": 0.0015,
        "unsaved": 0,
        "latency_s": {"mean": 3.0, "p50": 2.0, "p95": 4.0, "p99": 4.0},
        "ttft_s": {"mean": 0.5, "p50": 0.5, "p95": 0.5, "p99": 0.5},
    }
    assert body["groups"] == [{"key": {"day": "2026-11-22", "model": "openai/a"}, **group}]
    assert body["total"] == {"key": {}, **group}


def test_what_is_unknown_is_never_nothing(tmp_path: Path) -> None:
    """An unknown price shown as $0 is how a bill surprises."""
    kit = Kit(tmp_path / "ledger.db")
    kit.call(NOON, model="x/priced", cost=7)
    kit.call(NOON, model="x/mixed", cost=7)
    for model in ("x/mixed", "x/unknown"):
        kit.call(NOON, model=model, cost=None)
        kit.call(NOON, model=model, cost=None, hit="exact")
    kit.call(NOON, model="x/free", cost=0)
    kit.done()
    found = by_key(report(kit.path, Query(by=("model",))))
    money = {model: (g.cost, g.unpriced, g.saved, g.unsaved) for (model,), g in found.items()}
    assert money == {
        "x/priced": (7, 0, 0, 0),
        "x/mixed": (7, 1, None, 1),
        "x/unknown": (None, 1, None, 1),
        "x/free": (0, 0, 0, 0),
    }
    assert report(kit.path, Query()).total.unpriced == 2


def test_hits_do_not_hide_a_slow_provider(tmp_path: Path) -> None:
    """A thousand hits of a millisecond would make any median look fine."""
    kit = Kit(tmp_path / "ledger.db")
    kit.call(NOON, latency=9.0)
    for number in range(5):
        kit.call(NOON + number, latency=0.001, hit="exact")
    kit.done()
    total = report(kit.path, Query()).total
    assert (total.calls, total.cached, total.latency.p50) == (6, 5, 9.0)


FIELDS: dict[str, Any] = {
    "model": ["openai/a", "x/b", "x/c"],
    "profile": ["dev", "prod"],
    "tag": [None, "ci", ""],
    "run_id": ["r1", "r2"],
}


def filled(path: Path, count: int = 500) -> tuple[Kit, list[dict[str, Any]]]:
    """A ledger of many different calls over three days around a change of the clock, and the calls."""
    chance = random.Random(11)
    kit = Kit(path, group=True)
    facts = []
    for _ in range(count):
        fact = {name: chance.choice(values) for name, values in FIELDS.items()}
        at = when("2026-10-24T00:00") + chance.random() * 3 * 86400
        latency = chance.lognormvariate(0, 1)
        more: dict[str, Any] = {"latency": latency, **fact}
        kind = chance.choice(["ok", "ok", "failed", "hit"])
        if kind == "failed":
            kit.failed(at, **more)
        else:
            kit.call(at, cost=chance.choice([3, 5, None]), hit="exact" if kind == "hit" else None, **more)
        facts.append({**fact, "at": at, "latency": latency, "kind": kind})
    kit.ledger.close()
    return kit, facts


def named(fact: dict[str, Any], by: str, tz: str) -> str | None:
    """A key's value, worked out here a second time."""
    local = datetime.fromtimestamp(fact["at"], ZoneInfo(tz))
    match by:
        case "day":
            return local.strftime("%Y-%m-%d")
        case "month":
            return local.strftime("%Y-%m")
        case "hour":
            return local.replace(minute=0, second=0, microsecond=0).isoformat(timespec="minutes")
        case "provider":
            return str(fact["model"]).partition("/")[0]
        case "status":
            return "failed" if fact["kind"] == "failed" else "ok"
        case "run":
            return str(fact["run_id"])
    return fact[by] or None


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("tz", ["Europe/Madrid", "America/New_York", "Asia/Kathmandu", "UTC"])
def test_every_grouping_agrees_with_a_count_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact: bool, tz: str
) -> None:
    """Out of calls and out of slots alike, alone and several at once, in every zone."""
    monkeypatch.setattr(select, "EXACT_CALLS", 10_000 if exact else 0)
    kit, facts = filled(tmp_path / "ledger.db")
    several = [(name,) for name in BY] + [
        ("day", "model"),
        ("tag", "hour", "status"),
        ("month", "day", "run"),
        (),
    ]
    for by in several:
        found = report(kit.path, Query(by=by, tz=tz))
        counted = Counter(tuple(named(fact, name, tz) for name in by) for fact in facts)
        assert {key: group.calls for key, group in by_key(found).items()} == counted, by
        assert found.exact is exact
        assert found.total.calls == len(facts)
        assert found.total.cached == sum(fact["kind"] == "hit" for fact in facts)
        assert found.total.failed == sum(fact["kind"] == "failed" for fact in facts)
        asked = sorted(fact["latency"] for fact in facts if fact["kind"] != "hit")
        middle = asked[(len(asked) + 1) // 2 - 1]
        assert found.total.latency.p50 == (middle if exact else pytest.approx(middle, rel=0.02))
        assert found.total.latency.mean == pytest.approx(sum(asked) / len(asked))


@pytest.mark.parametrize("exact", [True, False])
def test_windows_and_filters_cut_to_the_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact: bool
) -> None:
    """`--since 24h` begins in the middle of a slot: the calls before it do not count."""
    monkeypatch.setattr(select, "EXACT_CALLS", 10_000 if exact else 0)
    kit, facts = filled(tmp_path / "ledger.db")
    since, until = when("2026-10-24T07:03:11"), when("2026-10-26T01:59:59")
    for filters in ({}, {"model": "x/b"}, {"tag": "ci"}, {"tag": ""}, {"profile": "prod", "model": "x/c"}):
        wanted = [
            fact
            for fact in facts
            if since <= fact["at"] < until
            and all((fact[name] or "") == value for name, value in filters.items())
        ]
        for by in (("day",), ("run",), ("tag", "hour")):
            query = Query(since, until, by, "Europe/Madrid", **filters)
            assert report(kit.path, query).total.calls == len(wanted)
    assert report(kit.path, Query(since, since)).total.calls == 0


def test_few_calls_are_exact_however_large_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A percentile of twenty calls can be checked by hand, so it should be right to the digit."""
    monkeypatch.setattr(select, "EXACT_CALLS", 100)
    kit, facts = filled(tmp_path / "ledger.db")
    few = [fact["latency"] for fact in facts if fact["at"] < when("2026-10-24T08") and fact["kind"] != "hit"]
    assert 20 < len(few) < 100
    found = report(kit.path, Query(until=when("2026-10-24T08"), by=("day",)))
    assert found.exact
    assert found.total.latency.p99 == max(few)
    assert not report(kit.path, Query(by=("day",))).exact


@pytest.mark.parametrize(
    ("zone", "day", "first", "last"),
    [
        ("Europe/Madrid", "2026-03-29", "2026-03-28T23:00", "2026-03-29T21:59:59"),
        ("Europe/Madrid", "2026-10-25", "2026-10-24T22:00", "2026-10-25T22:59:59"),
        ("America/New_York", "2026-03-08", "2026-03-08T05:00", "2026-03-09T03:59:59"),
        ("America/New_York", "2026-11-01", "2026-11-01T04:00", "2026-11-02T04:59:59"),
    ],
)
@pytest.mark.parametrize("most", [0, 1000])
def test_calls_fall_on_the_right_day_when_clocks_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str, day: str, first: str, last: str, most: int
) -> None:
    """Days of 23 and of 25 hours: their first and last second are theirs, the ones beside are not."""
    monkeypatch.setattr(select, "EXACT_CALLS", most)
    kit = Kit(tmp_path / "ledger.db")
    for at in (when(first) - 1, when(first), when(last), when(last) + 1):
        kit.call(at)
    kit.done()
    found = by_key(report(kit.path, Query(by=("day",), tz=zone)))
    assert [group.calls for group in found.values()] == [1, 2, 1]
    assert list(found)[1] == (day,)


def test_clocks_that_were_wrong_do_not_slow_reports_down(tmp_path: Path) -> None:
    """A board without a battery starts in 1970: fifty years of hours in between are not walked."""
    kit = Kit(tmp_path / "ledger.db", group=True)
    for at in (5.0, when("2026-11-22"), when("2199-01-01")):
        kit.call(at)
    kit.done()
    found = report(kit.path, Query(by=("hour",), tz="UTC"))
    assert [group.key["hour"] for group in found.groups] == [
        "1970-01-01T00:00+00:00",
        "2026-11-22T00:00+00:00",
        "2199-01-01T00:00+00:00",
    ]


def test_the_dearest_comes_first_where_time_plays_no_part(tmp_path: Path) -> None:
    """Where did the money go: that is what is asked."""
    kit = Kit(tmp_path / "ledger.db")
    for model, cost in (("x/a", 1), ("x/b", 30), ("x/c", 2)):
        kit.call(NOON, model=model, cost=cost)
        kit.call(NOON - 86400, model=model, cost=cost)
    kit.done()
    assert [group.key["model"] for group in report(kit.path, Query(by=("model",))).groups] == [
        "x/b",
        "x/c",
        "x/a",
    ]
    found = report(kit.path, Query(by=("day", "model"), tz="UTC"))
    assert [group.key["day"] for group in found.groups] == ["2026-11-21"] * 3 + ["2026-11-22"] * 3


@pytest.mark.parametrize("query", [Query(by=("week",)), Query(tz="Nowhere"), Query(by=("day", "models"))])
def test_an_unknown_grouping_or_zone_is_refused(tmp_path: Path, query: Query) -> None:
    """Before any file is looked at: a typing error is no empty report."""
    with pytest.raises(UsageError):
        report(tmp_path / "ledger.db", query)


def test_names_are_values_never_sql(tmp_path: Path) -> None:
    """A model or a tag may be called anything."""
    evil = "x'; DROP TABLE calls; --"
    kit = Kit(tmp_path / "ledger.db")
    kit.call(NOON, model=evil, tag=evil)
    kit.call(NOON)
    kit.done()
    found = report(kit.path, Query(by=("model", "tag"), model=evil, tag=evil))
    assert found.groups[0].key == {"model": evil, "tag": evil}
    assert found.total.calls == 1
