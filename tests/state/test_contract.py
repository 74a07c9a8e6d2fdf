"""What every state has to do, whichever backend it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmctl.core.ports import Account, Full, State
from llmctl.state.base import KEPT_S, LARGEST

from .contract import BACKENDS, Opener, Turned

LEASE = 30.0


@pytest.fixture
def clock() -> Turned:
    """Time that stands still."""
    return Turned()


@pytest.fixture(params=BACKENDS)
def opener(request: pytest.FixtureRequest, tmp_path: Path, clock: Turned) -> Opener:
    """One backend after the other."""
    return BACKENDS[request.param](tmp_path, clock)


@pytest.fixture
def state(opener: Opener) -> Iterator[State]:
    """A handle on an empty state."""
    opened = opener()
    yield opened
    opened.close()


def held(state: State, amount: int, *accounts: Account, lease: float = LEASE) -> int:
    found = state.hold(accounts, amount, lease)
    assert isinstance(found, int)
    return found


def test_what_was_never_set_is_none(state: State) -> None:
    """Callers tell "nothing yet" from 0 by it."""
    assert state.get("a") is None


def test_set_get_delete(state: State) -> None:
    """The plain verbs, on which times of rest and the like are kept."""
    state.set("a", 5)
    assert state.get("a") == 5
    state.set("a", -7)
    assert state.get("a") == -7
    state.delete("a")
    assert state.get("a") is None
    state.delete("a")


def test_add_gives_the_new_value(state: State) -> None:
    """Whoever adds learns where the counter stands without a second look."""
    assert [state.add("a", 3), state.add("a", 4), state.add("a", -2)] == [3, 7, 5]
    assert state.add("b", 1) == 1


def test_add_refuses_to_pass_the_ceiling_and_changes_nothing(state: State) -> None:
    """Every budget and every rate limit is this."""
    assert state.add("a", 10, ceiling=10) == 10
    assert state.add("a", 1, ceiling=10) is None
    assert state.get("a") == 10
    assert state.add("fresh", 11, ceiling=10) is None
    assert state.get("fresh") is None


def test_taking_away_is_never_refused(state: State) -> None:
    """A limit that was lowered below what is spent must not stop money from being given back."""
    state.add("a", 10)
    assert state.add("a", -3, ceiling=5) == 7
    assert state.add("a", 0, ceiling=5) == 7


def test_ttl_runs_from_the_first_add(state: State, clock: Turned) -> None:
    """A window that every add prolonged would never end."""
    state.add("a", 1, ttl=60)
    clock.time += 59
    assert state.add("a", 1, ttl=60) == 2
    clock.time += 1
    assert state.get("a") is None
    assert state.add("a", 1, ttl=60) == 1


def test_set_with_ttl_ends(state: State, clock: Turned) -> None:
    """A rest ends by itself."""
    state.set("a", 1, ttl=5)
    assert state.get("a") == 1
    clock.time += 5
    assert state.get("a") is None


def test_a_clock_set_back_starts_a_window_anew(state: State, clock: Turned) -> None:
    """Or a minute's window would last an hour after the clock was set back by one."""
    state.add("a", 5, ttl=60)
    clock.time -= 3600
    assert state.add("a", 1, ttl=60) == 1


def test_hold_counts_in_every_account(state: State) -> None:
    """A call counts against the day and against the month."""
    hold = held(state, 4, Account("day", 10), Account("month", 100))
    assert (state.get("day"), state.get("month")) == (4, 4)
    assert state.settle(hold, 1) == {"day": 1, "month": 1}
    assert (state.get("day"), state.get("month")) == (1, 1)
    assert state.held() == []


def test_hold_is_all_or_nothing(state: State) -> None:
    """What one account refuses must leave no trace in the others."""
    state.add("b", 8)
    refused = Account("b", 10)
    assert state.hold([Account("a", 100), refused], 3, LEASE) == Full(refused, 8)
    assert state.get("a") is None
    assert state.get("b") == 8
    assert state.held() == []


def test_what_is_held_and_sent_is_told(state: State) -> None:
    """Reports tell reserved from spent by it."""
    first = held(state, 4, Account("a", 10))
    held(state, 5, Account("a", 10), Account("b", 10))
    assert state.sent(first)
    found = {(each.keys, each.amount, each.sent) for each in state.held()}
    assert found == {(("a",), 4, True), (("a", "b"), 5, False)}


def test_settling_with_nothing_gives_all_back(state: State) -> None:
    """What was not billed is free again."""
    hold = held(state, 10, Account("a", 10))
    assert isinstance(state.hold([Account("a", 10)], 1, LEASE), Full)
    state.settle(hold, 0)
    held(state, 10, Account("a", 10))


def test_settling_with_more_than_held_is_counted(state: State) -> None:
    """The bill is the truth, also where it is higher than it could be."""
    hold = held(state, 10, Account("a", 10))
    state.sent(hold)
    assert state.settle(hold, 12) == {"a": 12}
    assert isinstance(state.hold([Account("a", 10)], 1, LEASE), Full)


def test_settling_twice_counts_once(state: State) -> None:
    """A second word about the same hold must not move money."""
    hold = held(state, 10, Account("a", 10))
    state.settle(hold, 5)
    assert state.settle(hold, 0) == {}
    assert state.get("a") == 5


def test_a_lapsed_lease_gives_back_what_was_not_sent(state: State, clock: Turned) -> None:
    """Money must not be held for ever by somebody who will not use it."""
    hold = held(state, 10, Account("a", 10))
    clock.time += LEASE - 1
    assert isinstance(state.hold([Account("a", 10)], 1, LEASE), Full)
    clock.time += 1
    again = held(state, 10, Account("a", 10))
    assert not state.sent(hold)
    assert state.settle(hold, 3) == {}
    assert state.get("a") == 10
    assert state.sent(again)


def test_what_was_sent_stays_counted_whatever_the_lease(state: State, clock: Turned) -> None:
    """It may be billed: only its bill may take it away."""
    hold = held(state, 10, Account("a", 10))
    assert state.sent(hold)
    clock.time += 10 * LEASE
    assert isinstance(state.hold([Account("a", 10)], 1, LEASE), Full)
    assert state.settle(hold, 2) == {"a": 2}


def test_held_as_sent_is_sent(state: State, clock: Turned) -> None:
    """Where nothing comes in between, one write says both."""
    hold = state.hold([Account("a", 10)], 10, LEASE, sent=True)
    assert isinstance(hold, int)
    clock.time += 2 * LEASE
    assert [each.sent for each in state.held()] == [True]
    assert state.sent(hold)
    assert state.settle(hold, 3) == {"a": 3}


def test_a_late_bill_still_corrects_what_was_given_up(state: State, clock: Turned) -> None:
    """After a day nobody waits for the bill any more; should it come, it is the truth all the same."""
    hold = held(state, 10, Account("a", 10))
    state.sent(hold)
    clock.time += 2 * 86_400
    assert state.held() == []
    assert state.get("a") == 10
    assert state.settle(hold, 4) == {"a": 4}


def test_a_trade_takes_what_fits_and_tells_what_does_not(state: State) -> None:
    """A smaller amount behind one that does not fit may still fit."""
    day, month = Account("day", 10), Account("month", 100)
    done = state.trade(0, [day, month], [6, 5, 4])
    assert list(done.taken) == [True, False, True]
    assert done.full == Full(day, 6)
    assert done.values == {"day": 10, "month": 10}
    assert [(each.amount, each.sent) for each in state.held()] == [(10, True)]


def test_a_trade_settles_before_it_takes(state: State) -> None:
    """What has been billed for less makes room within the same write, and the hold goes with the last."""
    account = Account("a", 10)
    first = state.trade(0, [account], [6, 4])
    second = state.trade(first.hold, [account], [7], back=6, spent=1)
    assert list(second.taken) == [False]
    assert state.get("a") == 5
    third = state.trade(second.hold, [account], [5])
    assert third.full is None
    last = state.trade(third.hold, [account], [], back=9, spent=3)
    assert (last.hold, last.values) == (0, {"a": 4})
    assert state.held() == []


def test_a_trade_of_nothing_leaves_no_trace(state: State) -> None:
    """A refusal must not begin a counter."""
    done = state.trade(0, [Account("a", 1)], [2])
    assert (done.hold, list(done.taken)) == (0, [False])
    assert state.get("a") is None


def test_a_traded_hold_stays_counted_whatever_the_lease(state: State, clock: Turned) -> None:
    """It counts as sent; a bill that comes later than anybody waits for is the truth all the same."""
    done = state.trade(0, [Account("a", 10)], [8])
    clock.time += 2 * 86_400
    assert state.held() == []
    assert state.get("a") == 8
    assert state.trade(done.hold, [Account("a", 10)], [], back=8, spent=2).values == {"a": 2}


def test_accounts_outlive_their_period_and_then_go(state: State, clock: Turned) -> None:
    """A clock that jumps ahead and back finds its counters again; the file does not grow for ever."""
    held(state, 4, Account("a", 10, clock.time + 3600))
    clock.time += 7200
    assert state.get("a") == 4
    clock.time -= 7200
    assert state.get("a") == 4
    clock.time += 3600 + KEPT_S
    assert state.get("a") is None


def test_huge_amounts_are_cut_not_crashed_on(state: State) -> None:
    """A limit of 10^300 dollars is silly, but no bug."""
    state.set("a", 10**40)
    assert state.get("a") == LARGEST
    assert state.add("b", 10**40, ceiling=10**50) == LARGEST
    assert isinstance(state.hold([Account("c", 10**50)], 5, LEASE), int)
    assert isinstance(state.hold([Account("c", 10)], 10**40, LEASE), Full)
    hold = held(state, 1, Account("d", 10))
    assert state.settle(hold, 10**40) == {"d": LARGEST}


def test_handles_share_one_state(opener: Opener) -> None:
    """Processes that do not see each other's money spend it twice."""
    one, other = opener(), opener()
    hold = held(one, 6, Account("a", 10))
    assert isinstance(other.hold([Account("a", 10)], 6, LEASE), Full)
    assert [each.amount for each in other.held()] == [6]
    one.settle(hold, 1)
    assert isinstance(other.hold([Account("a", 10)], 6, LEASE), int)
    assert one.get("a") == 7
    one.close()
    other.close()


def test_keys_and_texts_of_any_kind(state: State) -> None:
    """Tags and model names come from users."""
    key = "budget/day/tag=a'b\"c\n\\ü☃/all"
    hold = held(state, 2, Account(key, 10))
    assert state.get(key) == 2
    assert state.settle(hold, 1) == {key: 1}
