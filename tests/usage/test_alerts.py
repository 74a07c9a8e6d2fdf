"""What rules read from the ledger, and when they count as broken."""

from __future__ import annotations

from pathlib import Path
from threading import Barrier, Thread

import pytest

from llmctl.core.errors import BadRequest
from llmctl.core.profile import AlertRule
from llmctl.state.memory import MemoryState
from llmctl.state.sqlite import SqliteState
from llmctl.usage.alerts import WEEK_S, Reading, Sources, name, shown
from llmctl.usage.budgets import Status
from llmctl.usage.episodes import Episode, Episodes, Mailbox

from .kit import At, Kit

NOW = 1_790_000_000.0
NANO = 10**9


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path / "ledger.db", group=True)


def value(kit: Kit, rule: AlertRule, now: float = NOW) -> float | None:
    kit.ledger.flush()
    (found,) = Sources(kit.path, list, list).read([rule], now)
    return found.value


def rule(metric: str, **given: object) -> AlertRule:
    return AlertRule(metric=metric, **{"over": 0.1, **given})  # type: ignore[arg-type]


def test_every_failed_call_is_an_error(kit: Kit) -> None:
    """A refused request (400) too: who watches wants to know that nothing comes of the calls."""
    for n in range(16):
        kit.call(NOW - 60 - n)
    for n in range(2):
        kit.failed(NOW - 30 - n)
        kit.call(NOW - 40 - n, error=BadRequest("no"), cost=0)
    assert value(kit, rule("error_rate")) == pytest.approx(0.2)
    assert value(kit, rule("success_rate")) == pytest.approx(0.8)


def test_few_calls_say_nothing(kit: Kit) -> None:
    """One failure of one is no rate."""
    for n in range(9):
        kit.failed(NOW - 60 - n)
    assert value(kit, rule("error_rate")) is None
    assert value(kit, rule("error_rate", min_calls=9)) == 1
    assert value(kit, rule("error_rate"), NOW + 86_400) is None
    kit.failed(NOW - 59)
    assert value(kit, rule("error_rate")) == 1


def test_a_window_is_as_long_as_it_says(kit: Kit) -> None:
    """What lies before it is forgiven."""
    for n in range(10):
        kit.failed(NOW - 1000 - n)
        kit.call(NOW - 100 - n)
    assert value(kit, rule("error_rate")) == 0
    assert value(kit, rule("error_rate", window=3600.0)) == 0.5


def test_times_are_those_that_no_cache_answered(kit: Kit) -> None:
    """A hit would hide a slow provider."""
    for n in range(20):
        kit.call(NOW - 200 - n, latency=4.0, ttft=1.0)
        kit.call(NOW - 200 - n, latency=0.001, hit="exact")
    assert value(kit, rule("avg_latency")) == pytest.approx(4)
    assert value(kit, rule("p95_latency")) == pytest.approx(4, rel=0.02)
    assert value(kit, rule("p99_ttft")) == pytest.approx(1, rel=0.02)
    assert value(kit, rule("cache_hit_rate")) == 0.5


def test_rates_an_hour(kit: Kit) -> None:
    """Money looks back an hour where nothing is said, and any window is made an hour."""
    for n in range(10):
        kit.call(NOW - 1800 - n, cost=2 * NANO)
    assert value(kit, rule("cost_per_hour")) == pytest.approx(20)
    assert value(kit, rule("cost_per_hour", window=7200.0)) == pytest.approx(10)
    assert value(kit, rule("calls_per_hour", window=3600.0)) == 10
    assert value(kit, rule("tokens_per_hour", window=3600.0)) == 150


def test_only_the_calls_that_a_rule_names(kit: Kit) -> None:
    """One bad model must not hide among good ones."""
    for n in range(10):
        kit.failed(NOW - 60 - n, model="openai/bad", tag="ci")
        kit.call(NOW - 60 - n, model="openai/good")
    assert value(kit, rule("error_rate")) == 0.5
    assert value(kit, rule("error_rate", model="openai/bad")) == 1
    assert value(kit, rule("error_rate", tag="ci")) == 1
    assert value(kit, rule("error_rate", profile="other")) is None


def test_how_long_nothing_went_well(kit: Kit) -> None:
    """Since the last good call; where none ever was, since the first call; without calls nothing."""
    watch = rule("no_success_for", over=600.0)
    assert value(kit, watch) is None
    kit.failed(NOW - 5000)
    assert value(kit, watch) == pytest.approx(5000)
    kit.call(NOW - 2000, latency=0.0)
    kit.failed(NOW - 10)
    assert value(kit, watch) == pytest.approx(2000)


def test_money_against_the_same_hour_of_past_weeks(kit: Kit) -> None:
    """The median of the weeks: one odd week is no measure; with too little known nothing is said."""
    watch = rule("cost_anomaly", over=3.0)
    for n in range(10):
        kit.call(NOW - 600 - n, cost=8 * NANO)
    assert value(kit, watch) is None
    for week, dollars in ((1, 2), (2, 2), (3, 50)):
        for n in range(10):
            kit.call(NOW - week * WEEK_S - 600 - n, cost=dollars * NANO)
    assert value(kit, watch) == pytest.approx(4)
    assert value(kit, watch, NOW + 86_400) is None


def test_budgets_and_breakers(kit: Kit) -> None:
    """The fullest budget, and every breaker that is not closed; no calls are needed for that."""
    status = Status("day", "all", "day", "UTC", 10 * NANO, 9 * NANO, 0, None, 0.8)
    sources = Sources(kit.path, lambda: [status], lambda: ["openai/a@x#1", "openai/b@x#1"])
    rules = [rule("budget_used"), AlertRule(metric="breaker_open"), rule("breaker_open", model="openai/a")]
    assert [each.value for each in sources.read(rules, NOW)] == [0.9, 2, 1]
    assert value(kit, rule("budget_used")) is None


def moved(episodes: Episodes, watch: AlertRule, value: float | None, now: float) -> Episode:
    return episodes.move(watch, Reading(value, 100), now)


def test_an_episode_from_its_beginning_to_its_end() -> None:
    """Held for a while, then firing, over only once it is back by the margin."""
    episodes, watch = Episodes(MemoryState(At(NOW).now)), rule("error_rate", hold=60.0)
    assert moved(episodes, watch, 0.05, NOW).standing == "ok"
    first = moved(episodes, watch, 0.2, NOW + 1)
    assert (first.standing, first.since, first.began) == ("pending", NOW + 1, False)
    assert moved(episodes, watch, 0.2, NOW + 50).standing == "pending"
    fired = moved(episodes, watch, 0.2, NOW + 61)
    assert (fired.standing, fired.since, fired.began) == ("firing", NOW + 1, True)
    assert not moved(episodes, watch, 0.3, NOW + 62).began
    assert moved(episodes, watch, 0.095, NOW + 63).standing == "firing"
    over = moved(episodes, watch, 0.08, NOW + 64)
    assert (over.standing, over.ended) == ("ok", True)
    assert moved(episodes, watch, 0.095, NOW + 65).standing == "ok"


def test_a_condition_that_stops_in_time_never_fires() -> None:
    """The time begins anew."""
    episodes, watch = Episodes(MemoryState(At(NOW).now)), rule("error_rate", hold=60.0)
    moved(episodes, watch, 0.2, NOW)
    moved(episodes, watch, 0.01, NOW + 30)
    assert moved(episodes, watch, 0.2, NOW + 61).standing == "pending"


def test_under_is_the_other_way_round() -> None:
    """And too little to judge by ends it."""
    episodes, watch = Episodes(MemoryState(At(NOW).now)), AlertRule(metric="cache_hit_rate", under=0.5)
    assert moved(episodes, watch, 0.4, NOW).standing == "firing"
    assert moved(episodes, watch, 0.54, NOW + 1).standing == "firing"
    assert moved(episodes, watch, 0.56, NOW + 2).standing == "ok"
    assert moved(episodes, watch, 0.4, NOW + 3).standing == "firing"
    assert moved(episodes, watch, None, NOW + 4).ended


def test_a_high_share_can_be_reached_again() -> None:
    """A tenth above 0.95 is above 1: the margin is a tenth of what is left."""
    episodes, watch = Episodes(MemoryState(At(NOW).now)), AlertRule(metric="success_rate", under=0.95)
    assert moved(episodes, watch, 0.9, NOW).standing == "firing"
    assert moved(episodes, watch, 0.952, NOW + 1).standing == "firing"
    assert moved(episodes, watch, 0.96, NOW + 2).standing == "ok"


def test_a_look_changes_nothing() -> None:
    """`alerts list` may be run by anybody at any time."""
    state = MemoryState(At(NOW).now)
    episodes = Episodes(state)
    assert episodes.look(rule("error_rate"), Reading(1.0, 100), NOW).standing == "firing"
    assert state.find("") == {}


def due(state: MemoryState, episode: Episode, now: float, whom: str = "a") -> int | None:
    """The number that is told now, as a destination that takes it."""
    mailbox = Mailbox(state, episode.rule, whom)
    number = mailbox.due(episode, now)
    if number is None or not mailbox.take(number):
        return None
    mailbox.heard(number)
    return number


def test_each_destination_hears_each_thing_once() -> None:
    """Beginning, reminders as far apart as asked, end; a newcomer hears of no end without its beginning."""
    state, watch = MemoryState(At(NOW).now), rule("error_rate", repeat=600.0)
    episodes = Episodes(state)
    fired = moved(episodes, watch, 0.5, NOW)
    assert due(state, fired, NOW) is not None
    assert due(state, fired, NOW + 1) is None
    later = moved(episodes, watch, 0.5, NOW + 1900)
    assert due(state, later, NOW + 1900) is not None
    assert due(state, later, NOW + 2000) is None
    over = moved(episodes, watch, 0.0, NOW + 2500)
    assert due(state, over, NOW + 2500) is not None
    assert due(state, over, NOW + 2500) is None
    assert due(state, over, NOW + 2500, "newcomer") is None


def test_what_was_missed_is_told_later() -> None:
    """A receiver that was down hears of the end, if that came before it was back."""
    clock = At(NOW)
    state, watch = MemoryState(clock.now), rule("error_rate")
    episodes = Episodes(state)
    mailbox = Mailbox(state, watch, "a")
    number = mailbox.due(moved(episodes, watch, 0.5, NOW), NOW)
    assert number is not None
    assert mailbox.take(number)
    mailbox.missed(60)
    assert not mailbox.take(number)
    clock.time = NOW + 61
    over = moved(episodes, watch, 0.0, NOW + 61)
    assert due(state, over, NOW + 61) == 2 * number


def test_many_processes_move_a_rule_once(tmp_path: Path) -> None:
    """Each has its own connection; in every round one of them begins it and one of them ends it."""
    watch, barrier, moves = rule("error_rate"), Barrier(8), list[tuple[int, bool, bool]]()

    def work() -> None:
        state = SqliteState(tmp_path / "state.db", At(NOW).now)
        episodes = Episodes(state)
        for turn in range(20):
            barrier.wait()
            found = moved(episodes, watch, 0.5 if turn % 2 == 0 else 0.0, NOW + turn)
            moves.append((turn, found.began, found.ended))
        state.close()

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(turn for turn, began, _ in moves if began) == list(range(0, 20, 2))
    assert sorted(turn for turn, _, ended in moves if ended) == list(range(1, 20, 2))


def test_names_and_values_for_people() -> None:
    """Shares as per cent, times and money with their units."""
    assert name(rule("error_rate")) == "error_rate over 10 %"
    assert name(rule("cost_per_hour", over=100.0, tag="ci")) == "cost_per_hour over $100.00 tag=ci"
    assert name(rule("error_rate", name="mine")) == "mine"
    said = [
        ("p95_latency", 1.234, "1.23 s"),
        ("no_success_for", 5400.0, "1.5 h"),
        ("cost_anomaly", 4.0, "4 ×"),
    ]
    for metric, number, text in said:
        assert shown(rule(metric), number) == text
