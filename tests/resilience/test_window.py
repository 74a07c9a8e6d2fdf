"""The window of requests in flight, against providers that are simulated: only their times and refusals."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random

from llmctl.resilience.window import START, Window

Provider = Callable[[float, int], float | None]
"""(now, how many it works on) -> seconds to the answer; None: refused, a millisecond later."""


class Simulation:
    """Requests as many as the window lets in, `workers` at most, and what became of them."""

    def __init__(self, provider: Provider, given: int | None, workers: int = 10_000) -> None:
        self.now = 0.0
        self.window = Window(lambda: self.now, given)
        self.provider = provider
        self.workers = workers
        self.answered: list[float] = []
        self.refused: list[float] = []
        self._events: list[tuple[float, float, bool]] = []

    def run(self, until: float) -> Simulation:
        while self.now < until:
            while not self.window.full and self.window.in_flight < self.workers:
                self._send()
            self.now, sent_at, well = heapq.heappop(self._events)
            if well:
                self.answered.append(self.now)
                self.window.leave()
                self.window.answered(sent_at)
            else:
                self.refused.append(self.now)
                self.window.refused(sent_at)
                self.window.leave()
        return self

    def _send(self) -> None:
        working = sum(well for _, _, well in self._events)
        seconds = self.provider(self.now, working)
        self.window.in_flight += 1
        ends = self.now + (0.001 if seconds is None else seconds)
        heapq.heappush(self._events, (ends, self.now, seconds is not None))

    def rate(self, since: float) -> float:
        """Answers a second from then on."""
        return sum(at >= since for at in self.answered) / (self.now - since)


def by_chance(share: float, latency: float = 0.2, seed: int = 1) -> Provider:
    """Refuses now and then, however few are in flight."""
    chance = Random(seed)
    return lambda now, working: None if chance.random() < share else latency * (0.9 + 0.2 * chance.random())


def at_most(limit: int, latency: float = 0.2) -> Provider:
    """Refuses what is too much at once."""
    chance = Random(2)
    return lambda now, working: None if working >= limit else latency * (0.9 + 0.2 * chance.random())


def test_what_was_in_flight_together_shrinks_it_once() -> None:
    """Twenty refusals of one moment tell one thing."""
    window = Window(lambda: 1.0, 20)
    window.in_flight = 20
    for _ in range(20):
        window.refused(sent_at=0.5)
        window.leave()
    assert window.size == 10


def test_one_refusal_shrinks_it() -> None:
    """The provider said that it is too much, and is heard."""
    window = Window(lambda: 1.0, 20)
    window.in_flight = 20
    window.refused(sent_at=0.5)
    assert window.size == 14


def test_refusals_by_chance_leave_it_wide() -> None:
    """Less in flight would not end them: a batch must not crawl because of 5 % that say "later"."""
    simulation = Simulation(by_chance(0.05), given=200).run(10)
    assert simulation.rate(since=1) > 0.85 * 200 / 0.2
    assert simulation.window.size > 150


def test_a_limit_is_found_and_kept() -> None:
    """Nearly all that the provider takes is asked of it, and little more."""
    for limit in (1, 2, 8, 20, 100):
        simulation = Simulation(at_most(limit), given=200).run(60)
        assert simulation.rate(since=5) > 0.75 * limit / 0.2, limit
        asked = sum(at >= 5 for at in [*simulation.answered, *simulation.refused])
        assert sum(at >= 5 for at in simulation.refused) < 0.07 * asked, limit


def test_it_recovers_within_seconds() -> None:
    """A moment in which everything is refused is no reason to go slowly for minutes."""
    calm = by_chance(0.0)
    simulation = Simulation(lambda now, working: None if 2 < now < 4 else calm(now, working), given=200)
    assert simulation.run(4).window.size <= 2
    assert simulation.run(8).window.size == 200


def test_it_grows_beyond_its_start_while_that_helps() -> None:
    """A provider that works on 64 at a time gets 64, though nobody said so."""
    free = [0.0] * 64

    def provider(now: float, working: int) -> float:
        first = min(range(64), key=free.__getitem__)
        free[first] = max(now, free[first]) + 0.2
        return free[first] - now

    simulation = Simulation(provider, given=None).run(20)
    assert 64 <= simulation.window.size < 128
    assert simulation.rate(since=5) > 0.95 * 64 / 0.2


def test_it_stays_where_there_is_no_more_to_do() -> None:
    """Room that nobody needs tells nothing of the provider."""
    assert Simulation(by_chance(0.0), given=None, workers=5).run(5).window.size == START
