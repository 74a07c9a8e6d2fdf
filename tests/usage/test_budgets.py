"""Which period a moment belongs to, what a rule counts, and how a budget stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from llmctl.core.errors import ConfigError
from llmctl.core.model import Request, Target
from llmctl.core.ports import Account
from llmctl.core.profile import BudgetRule
from llmctl.state.memory import MemoryState
from llmctl.usage.budgets import Budget, Status, statuses, too_much


def at(text: str, zone: str, fold: int = 0) -> float:
    """Unix seconds of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def key(per: str, zone: str, now: float) -> str:
    return Budget(BudgetRule(limit=1, per=per, tz=zone)).account(now).key


def until(per: str, zone: str, now: float) -> float:
    found = Budget(BudgetRule(limit=1, per=per, tz=zone)).account(now).until
    assert found is not None
    return found


DAYS = [
    ("Europe/Madrid", "2026-03-29", 23),
    ("Europe/Madrid", "2026-10-25", 25),
    ("Europe/Madrid", "2026-11-22", 24),
    ("America/New_York", "2026-03-08", 23),
    ("America/New_York", "2026-11-01", 25),
    ("UTC", "2026-03-29", 24),
    ("Africa/Cairo", "2026-04-24", 23),  # whose midnight is skipped
    ("America/Havana", "2026-11-01", 25),  # whose midnight comes twice
    ("Asia/Kathmandu", "2026-01-01", 24),  # 5:45 ahead
]


@pytest.mark.parametrize(("zone", "day", "hours"), DAYS)
def test_a_day_is_as_long_as_it_is(zone: str, day: str, hours: int) -> None:
    """Calls of the 23rd or the 25th hour belong to their own day, neither more nor less of it."""
    start = at(f"{day}T00:00", zone)
    if zone == "Africa/Cairo":
        start = at(f"{day}T01:00", zone)
    end = until("day", zone, start)
    assert end - start == hours * 3600
    keys = {key("day", zone, start + half * 1800) for half in range(hours * 2)}
    assert keys == {f"budget/day/{zone}/{day}/all"}
    assert key("day", zone, start - 1) not in keys
    assert key("day", zone, end - 0.001) in keys
    assert key("day", zone, end) not in keys


@pytest.mark.parametrize(("zone", "day", "hours"), DAYS)
def test_a_day_has_as_many_hours_as_it_has(zone: str, day: str, hours: int) -> None:
    """The hour that comes twice is two hours of budget, the one that is skipped is none."""
    start = at(f"{day}T00:00", zone)
    if zone == "Africa/Cairo":
        start = at(f"{day}T01:00", zone)
    keys = [key("hour", zone, start + minute * 60) for minute in range(hours * 60)]
    assert len(set(keys)) == hours
    ends = {until("hour", zone, start + minute * 60) for minute in range(hours * 60)}
    assert ends == {start + hour * 3600 for hour in range(1, hours + 1)}


def test_half_an_hour_that_comes_twice_ends_where_it_ends() -> None:
    """Lord Howe turns its clocks by half an hour: an hour's end must still lie ahead."""
    turn = at("2026-04-05T01:30", "Australia/Lord_Howe", fold=1)
    for minute in range(-90, 90):
        now = turn + minute * 60
        assert now < until("hour", "Australia/Lord_Howe", now) <= now + 5400


@pytest.mark.parametrize("zone", ["Europe/Madrid", "America/New_York", "UTC"])
def test_weeks_begin_on_monday_and_months_on_the_first(zone: str) -> None:
    """Over the turn of summer time and of the year."""
    assert key("week", zone, at("2026-03-29T23:59", zone)).split("/")[-2] == "2026-03-23"
    assert until("week", zone, at("2026-03-25T12:00", zone)) == at("2026-03-30T00:00", zone)
    assert until("week", zone, at("2027-01-01T00:00", zone)) == at("2027-01-04T00:00", zone)
    assert key("month", zone, at("2026-12-31T23:59:59", zone)).split("/")[-2] == "2026-12"
    assert until("month", zone, at("2026-12-01T00:00", zone)) == at("2027-01-01T00:00", zone)
    assert until("month", zone, at("2028-02-29T12:00", zone)) == at("2028-03-01T00:00", zone)


def test_the_same_moment_is_another_day_elsewhere() -> None:
    """A budget resets at the midnight of its own zone."""
    now = at("2026-11-22T23:30", "UTC")
    assert key("day", "UTC", now).split("/")[-2] == "2026-11-22"
    assert key("day", "Europe/Madrid", now).split("/")[-2] == "2026-11-23"
    assert Budget(BudgetRule(limit=1, per="day", tz="Europe/Madrid")).resets_at(now) == (
        "2026-11-24T00:00:00+01:00"
    )


def test_total_never_resets() -> None:
    """There is no period to wait for."""
    budget = Budget(BudgetRule(limit=1, per="total"))
    assert budget.account(0).key == budget.account(4e9).key
    assert budget.account(0).until is None
    assert budget.resets_at(0) is None


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_clock_that_jumps_goes_by_the_zone_and_finds_its_counter_again(jump: int) -> None:
    """One budget object lives through the jump: what it remembers of the period must not stick."""
    budget = Budget(BudgetRule(limit=1, per="hour", tz="Europe/Madrid"))
    now = at("2026-11-22T14:30", "Europe/Madrid")
    before = budget.account(now).key
    there = budget.account(now + jump).key
    assert there != before
    assert f"T{15 if jump > 0 else 13}:00" in there
    assert budget.account(now).key == before


def test_the_limit_is_no_part_of_the_counter() -> None:
    """A limit raised in the profile keeps what is spent; a scope changed is another budget."""
    assert Budget(BudgetRule(limit=1, per="day")).account(0).key == (
        Budget(BudgetRule(limit=2, per="day", warn=0.5, name="x")).account(0).key
    )
    by_tag, by_model = BudgetRule(limit=1, per="day", tag="x"), BudgetRule(limit=1, per="day", model="x")
    assert Budget(by_tag).account(0).key != Budget(by_model).account(0).key


def test_an_unknown_zone_is_the_profiles_fault() -> None:
    """Exit 3 with the nearest right name, before anything is paid."""
    with pytest.raises(ConfigError, match="Europe/Madird") as caught:
        Budget(BudgetRule(limit=1, per="day", tz="Europe/Madird")).account(0)
    assert "Europe/Madrid" in caught.value.hint


def request(**more: str | None) -> Request:
    target = Target("main", "openai/gpt-4o-mini", "openai")
    return Request(target, (), profile="prod", **more)  # type: ignore[arg-type]  # a tag


@pytest.mark.parametrize(
    ("rule", "counted"),
    [
        ({}, True),
        ({"profile": "prod"}, True),
        ({"profile": "dev"}, False),
        ({"model": "main"}, True),
        ({"model": "openai/gpt-4o-mini"}, True),
        ({"model": "gpt-4o-mini"}, True),
        ({"model": "smart"}, False),
        ({"provider": "openai"}, True),
        ({"provider": "anthropic"}, False),
        ({"tag": "ci"}, True),
        ({"tag": "nightly"}, False),
        ({"tag": "ci", "provider": "anthropic"}, False),
    ],
)
def test_scopes(rule: dict[str, Any], counted: bool) -> None:
    """A call is every budget's that names nothing else."""
    assert Budget(replace(BudgetRule(limit=1), **rule)).counts(request(tag="ci")) is counted


def test_a_call_without_a_tag_is_of_no_tags_budget() -> None:
    """None is not a name."""
    assert not Budget(BudgetRule(limit=1, tag="ci")).counts(request())


def test_status_tells_spent_from_reserved() -> None:
    """What is reserved may come back; what is spent does not."""
    state = MemoryState(lambda: 0.0)
    budget = Budget(BudgetRule(limit=100, per="day", tag="ci"))
    account = budget.account(0)
    state.add(account.key, 50)
    state.hold([Account(account.key, 100)], 30, 60)
    (found,) = statuses([budget], state, 0)
    assert (found.spent, found.reserved, found.left, found.state) == (50, 30, 20, "ok")
    assert (found.name, found.scope) == ("day tag=ci", "tag=ci")
    assert found.envelope()["resets_at"] == "1970-01-02T00:00:00+00:00"


@pytest.mark.parametrize(
    ("spent", "state"), [(0, "ok"), (79, "ok"), (80, "warn"), (99, "warn"), (100, "over"), (130, "over")]
)
def test_state_words(spent: int, state: str) -> None:
    """Scripts look at the word."""
    found = Status("n", "all", "day", "UTC", 100, spent, 0, None, 0.8)
    assert found.state == state
    assert found.left == max(0, 100 - spent)


def test_what_would_not_fit() -> None:
    """Reserved money is not there for anybody else; nothing fits always."""
    found = [Status("a", "all", "day", "UTC", 100, 50, 30, None, 0.8)]
    assert not too_much(20, found)
    assert too_much(21, found) == found
    assert not too_much(0, [Status("b", "all", "day", "UTC", 0, 5, 0, None, 0.8)])
