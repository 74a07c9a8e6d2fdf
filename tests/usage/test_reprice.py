"""A newer price book says what the same answers would have cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmctl.core.errors import EmptyAnswer, StorageError
from llmctl.core.model import Attempt, Response, Usage
from llmctl.core.money import Nanos
from llmctl.usage import reprice as module
from llmctl.usage.calls import calls
from llmctl.usage.report import Query, report
from llmctl.usage.reprice import Line, reprice

from .kit import Kit, when

NOON = when("2026-11-22T12:00")


def tenfold(answered: str, asked: str, usage: Usage, at: float) -> Nanos | None:
    """10 nano-dollars a token, 1,000 an audio token; no price for what is called unknown."""
    if "unknown" in answered:
        return None
    return 10 * (usage.input_tokens + usage.output_tokens) + 1000 * usage.audio_output_tokens


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    kit = Kit(tmp_path / "ledger.db")
    kit.call(NOON, model="x/a", cost=15)
    kit.call(NOON + 1, model="x/a", cost=None, usage=Usage(10, 5, audio_output_tokens=2))
    kit.call(NOON + 2, model="x/a", cost=15, hit="exact")
    kit.call(NOON + 3, model="x/unknown", cost=7)
    kit.call(NOON + 4, model="x/same", cost=150)
    kit.failed(NOON + 5, model="x/a")
    kit.ledger.close()
    return kit


def by_model(lines: tuple[Line, ...]) -> dict[str, tuple[int, ...]]:
    return {
        line.model: (
            *(line.calls, line.hits, line.changed),
            *(line.old.known, line.old.unknown, line.new.known, line.new.unknown, line.new_saved.known),
        )
        for line in lines
    }


EXPECTED = {
    "x/a": (2, 1, 3, 15, 1, 150 + 2150, 0, 150),
    "x/unknown": (1, 0, 0, 7, 0, 7, 0, 0),
    "x/same": (1, 0, 0, 150, 0, 150, 0, 0),
}


def test_without_apply_the_ledger_stays_as_it_is(kit: Kit) -> None:
    """A look at other prices must not rewrite history."""
    before = calls(kit.path, Query())
    found = reprice(kit.path, Query(), tenfold)
    assert by_model(found.lines) == EXPECTED
    assert not found.applied
    assert found.lines[0].model == "x/a"
    assert found.total.difference == 2300 - 15
    assert calls(kit.path, Query()) == before


@pytest.mark.parametrize("at_once", [1, 5000])
def test_apply_writes_the_new_costs_and_their_sums(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Calls, slots and reports agree afterwards, and a second time changes nothing."""
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    found = reprice(kit.path, Query(), tenfold, snapshot="book-2", apply=True)
    assert found.applied
    assert by_model(found.lines) == EXPECTED
    total = report(kit.path, Query(by=("model",))).total
    assert (total.cost, total.unpriced, total.saved) == (150 + 2150 + 7 + 150, 0, 150)
    assert reprice(kit.path, Query(), tenfold).total.changed == 0


def test_window_and_filters_choose_what_is_repriced(kit: Kit) -> None:
    """One model's price changed on one day: the rest is not touched."""
    reprice(kit.path, Query(until=NOON + 1, model="x/a"), tenfold, apply=True)
    assert [call.cost for call in calls(kit.path, Query(model="x/a"))] == [150, None, 0, 0]


def test_requests_before_the_answer_keep_their_cost(tmp_path: Path) -> None:
    """The ledger knows the tokens of the answer alone; what came before it was billed all the same."""
    kit = Kit(tmp_path / "ledger.db")
    request = kit.request(model="x/a")
    tried = (Attempt("x/a", NOON, 1.0, "server_error", 500, "yes", 40), Attempt("x/a", NOON, 1.0, cost=15))
    for attempt in tried:
        kit.ledger.settled(kit.ledger.sent(request), attempt)
    usage = Usage(10, 5)
    kit.ledger.record(request, Response("x", "x/a", usage=usage, cost=55, tried=tried), 2.0)
    empty = kit.request(model="x/a")
    error = EmptyAnswer("empty", billed="yes", response=Response("", "x/a", usage=usage, cost=15))
    error.tried = (tried[0], Attempt("x/a", NOON, 1.0, "empty_answer", 200, "yes", 15))
    for attempt in error.tried:
        kit.ledger.settled(kit.ledger.sent(empty), attempt)
    kit.ledger.record(empty, error, 1.0)
    kit.done()
    line = reprice(kit.path, Query(), tenfold).lines[0]
    assert (line.old.known, line.new.known) == (55 + 55, 190 + 190)


def test_what_may_have_been_billed_stays_unknown(tmp_path: Path) -> None:
    """No price book knows whether a broken connection was billed."""
    kit = Kit(tmp_path / "ledger.db")
    kit.clock.time = NOON
    error = EmptyAnswer("cut", billed="unknown", response=Response("par", "x/a", usage=Usage(10, 5)))
    error.tried = (Attempt("x/a", NOON, 1.0, "broken_stream", 200, "unknown", None),)
    kit.ledger.record(kit.request(model="x/a"), error, 1.0)
    kit.done()
    assert reprice(kit.path, Query(), tenfold, apply=True).lines == ()
    assert report(kit.path, Query()).total.unpriced == 1


def test_a_failure_on_the_way_changes_nothing(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the ledger at new prices would be worse than none."""
    monkeypatch.setattr(module, "AT_ONCE", 1)
    asked = 0

    def dies(answered: str, asked_for: str, usage: Usage, at: float) -> Nanos | None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise StorageError("the price file is gone")
        return 99

    with pytest.raises(StorageError):
        reprice(kit.path, Query(), dies, apply=True)
    assert [call.cost for call in calls(kit.path, Query(model="x/a"))] == [15, None, 0, 0]


def test_no_ledger_is_nothing_to_price(tmp_path: Path) -> None:
    """And none is made."""
    assert reprice(tmp_path / "ledger.db", Query(), tenfold, apply=True).lines == ()
    assert not list(tmp_path.iterdir())
