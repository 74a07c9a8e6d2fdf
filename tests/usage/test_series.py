"""The ledger over time, and its extremes: the same calls, however few points there are."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from llmctl.usage import series as module
from llmctl.usage.extremes import extremes
from llmctl.usage.peaks import KEPT
from llmctl.usage.report import Query
from llmctl.usage.series import MINUTE_S, series

from .kit import Kit, when

NOON = when("2026-11-22T12:00")
HOUR = 3600.0


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty days of calls, of which the last hour has sixty."""
    chance = random.Random(5)
    kit = Kit(tmp_path_factory.mktemp("series") / "ledger.db", group=True)
    times = [NOON - chance.random() * 40 * 86400 for _ in range(400)] + [NOON - 60 * n - 1 for n in range(60)]
    for number, at in enumerate(sorted(times)):
        model = f"openai/{'ab'[number % 2]}"
        latency = chance.lognormvariate(0, 1)
        if number % 9 == 0:
            kit.failed(at, latency=latency, model=model)
        else:
            hit = "exact" if number % 5 == 0 else None
            kit.call(at, latency=latency, cost=chance.randrange(1, 10**9), hit=hit, model=model)
    return kit.done()


@pytest.mark.parametrize("since", [None, NOON - 40 * 86400, NOON - 7 * 86400, NOON - 86400, NOON - HOUR])
@pytest.mark.parametrize("model", [None, "openai/b"])
def test_points_add_up_to_the_calls(ledger: Path, since: float | None, model: str | None) -> None:
    """A chart that misses calls, or counts them twice, is worse than none."""
    found = series(ledger, Query(since=since, model=model), now=NOON)
    body = found.envelope()
    import sqlite3

    db = sqlite3.connect(ledger)
    sql = "SELECT count(*), sum(status = 'ok'), count(hit), sum(cost) FROM calls WHERE at >= ? AND at < ?"
    values = (found.start, found.end, *((model,) if model else ()))
    calls, ok, hits, cost = db.execute(sql + (" AND model = ?" if model else ""), values).fetchone()
    assert (sum(body["ok"]) + sum(body["failed"]), sum(body["ok"]), sum(body["cached"])) == (calls, ok, hits)
    assert sum(body["cost_usd"]) == pytest.approx(cost / 1e9)
    assert found.start <= (NOON - 40 * 86400 if since is None else since) + found.step
    assert len(body["at"]) <= module.POINTS + 2
    assert {len(column) for column in (body["at"], body["ok"], body["latency_s"]["p95"])} == {len(body["at"])}


def test_a_short_window_is_cut_into_minutes(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches a run wants the last minutes; a flood of calls must not be read one by one for it."""
    query = Query(since=NOON - HOUR)
    fine = series(ledger, query, now=NOON)
    assert (fine.step, len(fine.points)) == (MINUTE_S, 60)
    monkeypatch.setattr(module, "READ", 10)
    coarse = series(ledger, query, now=NOON)
    assert coarse.step == 900
    counts = [sum(point.calls for point in found.points.values()) for found in (fine, coarse)]
    assert counts[0] == counts[1] >= 60
    exact = max(point.latency.summary((0.99,))[1] or 0 for point in fine.points.values())
    rolled = max(point.latency.summary((0.99,))[1] or 0 for point in coarse.points.values())
    assert rolled == pytest.approx(exact, rel=0.011)


def test_nothing_is_drawn_as_nothing(tmp_path: Path) -> None:
    """A page before the first call."""
    for path in (tmp_path / "none.db", Kit(tmp_path / "empty.db").done()):
        found = series(path, Query(since=NOON), now=NOON + 60)
        assert found.envelope()["at"] == []
        assert extremes(path, Query()) == ([], [])


@pytest.mark.parametrize("since", [None, NOON - 7 * 86400 + 77, NOON - HOUR])
@pytest.mark.parametrize("model", [None, "openai/b"])
def test_the_slowest_and_the_dearest(ledger: Path, since: float | None, model: str | None) -> None:
    """The very calls that a sort of the whole ledger would find."""
    import sqlite3

    db = sqlite3.connect(ledger)
    where = "at >= ? AND (? IS NULL OR model = ?)"
    values = (0 if since is None else since, model, model)
    wanted = [
        [row[0] for row in db.execute(f"SELECT id FROM calls WHERE {where} AND {what} LIMIT {KEPT}", values)]
        for what in ("hit IS NULL ORDER BY latency DESC", "cost > 0 ORDER BY cost DESC")
    ]
    found = extremes(ledger, Query(since=since, model=model))
    assert [[call.id for call in calls] for calls in found] == wanted
