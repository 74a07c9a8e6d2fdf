"""The figures that page, alerts and Prometheus share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmctl.core.errors import RateLimited, RequestRefused, UsageError
from llmctl.core.model import Attempt, Response, Usage
from llmctl.usage import select
from llmctl.usage.metrics import Metrics, aligned, metrics
from llmctl.usage.report import Query, report

from .kit import Kit, when

NOON = when("2026-11-22T12:00")


def watched(path: Path, **query: object) -> Metrics:
    return metrics(path, Query(**query), now=NOON + 3600)  # type: ignore[arg-type]


def test_no_ledger_has_figures_too(tmp_path: Path) -> None:
    """Before the first call there is nothing to have a share of, and nothing to fail on."""
    found = metrics(tmp_path / "none.db", Query(), now=NOON)
    assert (found.total.calls, found.success_rate, found.error_rate, found.hit_rate) == (0, None, None, None)
    assert (found.by("model"), found.errors, found.last_success) == ({}, {}, None)
    assert not (tmp_path / "none.db").exists()


def test_shares_parts_and_errors(tmp_path: Path) -> None:
    """Each figure by hand once: hits count as calls, all failures in the error rate, refused ones too."""
    kit = Kit(tmp_path / "ledger.db")
    kit.call(NOON, latency=1.0, cost=10, ttft=0.2)
    kit.call(NOON + 1, latency=3.0, cost=30, tag="ci", model="openai/b")
    kit.call(NOON + 2, hit="exact", cost=10)
    kit.failed(NOON + 3)
    kit.call(NOON + 4, error=RequestRefused("no"), cost=0, profile="prod")
    kit.call(NOON + 5, error=RateLimited("slow"), cost=0)
    kit.call(NOON + 6, error=RateLimited("slow"), cost=0)
    found = watched(kit.done())
    assert (found.total.calls, found.total.ok, found.total.failed, found.total.cached) == (7, 3, 4, 1)
    assert (found.success_rate, found.error_rate, found.hit_rate) == (3 / 7, 4 / 7, 1 / 7)
    assert (found.total.cost, found.total.saved, found.tokens) == (40, 10, 45)
    assert found.cost("model") == {"openai/b": 30, "openai/a": 10}
    assert found.cost("tag") == {"ci": 30, "": 10}
    assert {name: group.calls for name, group in found.by("profile").items()} == {"dev": 6, "prod": 1}
    assert list(found.errors.items()) == [("rate_limit", 2), ("refused", 1), ("server_error", 1)]
    assert found.last_success == NOON + 2
    assert (found.total.latency.p99, found.total.ttft.mean) == (3.0, 0.2)


def test_filters_and_window(tmp_path: Path) -> None:
    """A rule or a page looks at one model, profile or tag, in a time of its own."""
    kit = Kit(tmp_path / "ledger.db")
    for minute in range(60):
        kit.call(NOON + 60 * minute, model=f"openai/{'ab'[minute % 2]}", tag="x" if minute % 3 else None)
    path = kit.done()
    assert watched(path, since=NOON + 600, until=NOON + 1200).total.calls == 10
    assert watched(path, model="openai/b").last_success == NOON + 59 * 60
    assert watched(path, tag="").total.calls == 20
    assert watched(path, model="none").last_success is None
    with pytest.raises(UsageError, match="--by"):
        report(path, Query(by=("error",)))


def test_retries_are_attempts_after_the_first(tmp_path: Path) -> None:
    """Hits and refused calls have no attempt at all, so attempts less calls would be wrong."""
    kit = Kit(tmp_path / "ledger.db")
    kit.call(NOON, hit="exact")
    request = kit.request()
    tried = tuple(Attempt("openai/a", NOON, 1.0, None, None, "yes", 1) for _ in range(3))
    kit.ledger.record(request, Response("x", "openai/a", usage=Usage(1, 1), tried=tried), 1.0)
    path = kit.done()
    assert (watched(path).total.retries, watched(path).total.attempts) == (2, 3)


def test_a_lost_call_is_an_error(tmp_path: Path) -> None:
    """Its process died while it was out: that is a failure, and one nobody else would report."""
    kit = Kit(tmp_path / "ledger.db")
    kit.clock.time = NOON
    child = os.fork()
    if not child:
        kit.ledger.sent(kit.request())
        os._exit(0)
    os.waitpid(child, 0)
    kit.done()
    found = watched(tmp_path / "ledger.db")
    assert (found.errors, found.error_rate, found.last_success) == ({"lost": 1}, 1.0, None)


def test_rolled_up_figures_are_those_of_the_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above some calls sums answer instead of calls: the same counts and money, times within 1 %."""
    kit = Kit(tmp_path / "ledger.db", group=True)
    for number in range(600):
        at = NOON - number * 977
        kit.call(at, latency=0.01 * (number % 83 + 1), model=f"openai/{'abc'[number % 3]}")
        if number % 7 == 0:
            kit.failed(at + 1)
    path = kit.done()
    since = aligned(NOON - 200_000)
    exact = watched(path, since=since)
    monkeypatch.setattr(select, "EXACT_CALLS", 0)
    rolled = watched(path, since=since)
    assert exact.exact
    assert not rolled.exact
    assert (rolled.errors, rolled.total.retries) == (exact.errors, exact.total.retries)
    assert rolled.cost("model") == exact.cost("model")
    for name in ("mean", "p50", "p95", "p99"):
        for model, group in exact.by("model").items():
            wanted = getattr(group.latency, name)
            assert getattr(rolled.by("model")[model].latency, name) == pytest.approx(wanted, rel=0.011)
