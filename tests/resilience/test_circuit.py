"""When a breaker opens, and when not: the clock is a test's own, the state is the real one in memory."""

from __future__ import annotations

from llmctl.core.errors import LlmctlError, ProviderTimeout, ServerError
from llmctl.core.model import Attempt, Target
from llmctl.core.profile import BreakerRule
from llmctl.resilience.circuit import Circuit, Circuits
from llmctl.resilience.shared import SharedState
from llmctl.state.memory import MemoryState

TARGET = Target("main", "openai/gpt-4o-mini", "openai", "http://127.0.0.1:1/v1", ("env:KEY",))


class HandClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.at = 1_000_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


class House:
    """One state and one clock, and the breakers of as many processes as ask."""

    def __init__(self, rule: BreakerRule | None = None) -> None:
        self.clock = HandClock()
        self.rule = rule or BreakerRule()
        self.state = MemoryState(self.clock.now)

    def process(self) -> Circuit:
        return Circuit(TARGET, self.rule, self.shared(), self.clock)

    def shared(self) -> SharedState:
        return SharedState(lambda: self.state, self.clock, lambda text: None)


def failed(kind: type[LlmctlError] = ServerError, latency: float = 0.1) -> LlmctlError:
    """A failure that took so long."""
    error = kind("down", status=503 if kind is ServerError else None)
    error.tried = (Attempt("openai/gpt-4o-mini", 0.0, latency, error.type),)
    return error


def test_failures_in_a_row_open_it_for_all() -> None:
    """Five by default, in whatever process each was."""
    house = House()
    for _ in range(4):
        house.clock.at += 1
        house.process().ended(failed())
    assert house.process().ask() is None
    house.process().ended(failed())
    assert house.process().ask() == 60.0


def test_what_stalled_together_is_not_in_a_row_after_an_answer() -> None:
    """Many that end together were sent before others were answered: the provider is there."""
    house = House()
    circuit = house.process()
    circuit.ask()
    for _ in range(30):
        circuit.went_well()
    house.clock.at += 5
    for _ in range(12):
        circuit.ended(failed(ProviderTimeout, latency=5.1))
    assert circuit.ask() is None
    for _ in range(10):  # more than five: with so many failures anyway, five are no news
        circuit.ended(failed(ProviderTimeout, latency=4.9))
    assert circuit.ask() == 60.0


def test_one_probe_after_the_cooldown() -> None:
    """Whoever asks first has it; one that failed begins a new cooldown."""
    house = House(BreakerRule(failures=1, cooldown=10))
    first, second = house.process(), house.process()
    first.ended(failed())
    house.clock.at += 10.1
    asked = [first.ask(), second.ask(), house.process().ask()]
    assert asked == [0.0, 0.1, 0.1]
    first.ended(failed(), probe=True)
    assert second.ask() == 10.0
    house.clock.at += 10.1
    assert second.ask() == 0.0
    second.went_well()
    assert [each.ask() for each in (first, second, house.process())] == [None] * 3


def test_a_share_of_failures_opens_it_too() -> None:
    """A provider that fails every other time is no more use than one that is down."""
    house = House()
    circuit = house.process()
    for number in range(19):
        house.clock.at += 0.5
        circuit.ask()
        if number % 2:
            circuit.went_well()
        else:
            circuit.ended(failed())
    assert circuit.ask() is None
    house.clock.at += 0.5
    circuit.ended(failed())
    assert circuit.ask() is not None


def test_the_share_is_that_of_all_processes() -> None:
    """A loop in a shell is a process for each call; two of three fail, never five in a row."""
    house = House()
    opened = None
    for number in range(40):
        house.clock.at += 0.5
        circuit = house.process()
        if circuit.ask() is not None:
            opened = number
            break
        if number % 3 == 2:
            circuit.went_well()
        else:
            circuit.ended(failed())
    assert opened is not None and 20 <= opened <= 23


def test_a_share_that_was_long_ago_is_forgotten() -> None:
    """The window moves on; and so it does when the breaker has closed again."""
    house = House()
    for number in range(40):
        house.clock.at += 4
        circuit = house.process()
        assert circuit.ask() is None
        if number % 2:
            circuit.went_well()
        else:
            circuit.ended(failed())


def test_a_reset_forgets_all_of_it() -> None:
    """Also what was counted, or the next failure would open it again."""
    house = House(BreakerRule(failures=100, min_calls=4))
    for _ in range(4):
        house.process().ended(failed())
    circuits = Circuits(house.rule, house.shared(), house.clock)
    assert [each.state for each in circuits.seen()] == ["open"]
    circuits.reset(circuits.seen()[0].name)
    assert (circuits.seen(), house.state.find("breaker/")) == ([], {})
