"""Many processes on one budget, some of them killed: it is never passed, and nothing is held for ever."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from llmctl.core.money import NANO
from llmctl.core.ports import Account, Full
from llmctl.core.profile import BudgetRule
from llmctl.state.sqlite import SqliteState
from llmctl.usage.budgets import Budget

from ..conftest import Run
from ..server.client import TestServer

TOKEN = 10_000
"""Nano-dollars that a token costs, in or out."""
MAX_TOKENS = 40
MOST = (250 + MAX_TOKENS) * TOKEN
"""More than one of the calls here can reserve."""

PROFILE = """
models: {{main: {{model: openai/gpt-4o-mini, params: {{max_tokens: {max_tokens}}}{keys}}}}}
prices: {{openai/gpt-4o-mini: {{input: 10, output: 10}}}}
retry: {{attempts: {attempts}, base: 0.01}}
budgets: [{{limit: {limit:.9f}, per: total, warn: 0}}]
"""
Spend = Callable[..., "list[subprocess.Popen[str]]"]


class Budgeted:
    """A home with one budget in nano-dollars, and the look at its counter."""

    def __init__(self, home: Path, limit: int) -> None:
        self.limit = limit
        self.state = SqliteState(home / "state.db", time.time)
        self.key = Budget(BudgetRule(limit=limit)).account(0).key

    @property
    def counted(self) -> int:
        return self.state.get(self.key) or 0

    @contextmanager
    def watched(self) -> Iterator[list[int]]:
        """Spent and reserved together, looked at as often as may be while something runs."""
        seen: list[int] = []
        over = Event()

        def look() -> None:
            while not over.is_set():
                seen.append(self.counted)
                time.sleep(0.002)

        watcher = Thread(target=look)
        watcher.start()
        try:
            yield seen
        finally:
            over.set()
            watcher.join()
            self.state.close()


@pytest.fixture
def budgeted(home: Path, work: Path) -> Callable[..., Budgeted]:
    """Writes the profile and gives a view of its budget."""

    def make(limit: int, *, attempts: int = 1, keys: str = "") -> Budgeted:
        (work / "profiles").mkdir()
        text = PROFILE.format(limit=limit / NANO, attempts=attempts, keys=keys, max_tokens=MAX_TOKENS)
        (work / "profiles" / "spend.yaml").write_text(text)
        return Budgeted(home, limit)

    return make


@pytest.fixture
def spend(environ: dict[str, str], work: Path) -> Iterator[Spend]:
    """Starts spenders; those still there at the end of the test are ended."""
    started: list[subprocess.Popen[str]] = []

    def start(processes: int, calls: int) -> list[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "tests.stages.spender", str(calls)]
        own = {**environ, "LLMCTL_PROFILE": "spend"}
        new = [
            subprocess.Popen(command, cwd=work, env=own, stdout=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]
        started.extend(new)
        return new

    yield start
    for process in started:
        process.kill()
        process.communicate()


def told(processes: Sequence[subprocess.Popen[str]]) -> dict[str, int]:
    """What the spenders say together; each has to end well, and to have been refused with exit 6 alone."""
    sums = {"ok": 0, "refused": 0, "failed": 0}
    for process in processes:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        said = json.loads(out)
        assert set(said.pop("exit_codes")) <= {6}
        for name, count in said.items():
            sums[name] += count
    return sums


def billed(server: TestServer) -> int:
    """Nano-dollars that the server would ask for, whether or not its answers arrived."""
    tokens = server.stats()["billed"]
    return (int(tokens["input_tokens"]) + int(tokens["output_tokens"])) * TOKEN


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


FAULTS = {"status:500": 0.1, "close_in_body": 0.05, "reset_before_headers": 0.05}
COST = 7 * TOKEN
"""What a spender's call costs: 3 words in, 4 out."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "faults", [{}, {"status:500": 0.1, "close_in_body": 0.05, "reset_before_headers": 0.05}]
)
def test_twenty_processes_spend_a_budget_and_not_a_cent_more(
    budgeted: Callable[..., Budgeted], spend: Spend, server: TestServer, faults: dict[str, float]
) -> None:
    """Fifty calls each, money for half of them: at no instant more than the limit is spent and reserved."""
    watch = budgeted(500 * COST, attempts=2 if faults else 1)
    server.script(random={"faults": faults})
    with watch.watched() as seen:
        sums = told(spend(20, 50))
    assert len(seen) > 100
    assert max(seen) <= watch.limit
    assert sum(sums.values()) == 1000
    assert sums["refused"] >= 300
    assert watch.limit - 20 * MOST <= watch.counted <= watch.limit
    assert billed(server) <= watch.counted
    assert watch.state.held() == []
    if not faults:
        assert billed(server) == watch.counted == sums["ok"] * COST


@pytest.mark.slow
def test_ten_of_twenty_killed_in_mid_call(
    budgeted: Callable[..., Budgeted], spend: Spend, server: TestServer
) -> None:
    """What they had sent stays counted; the others spend the rest, and not a cent more."""
    watch = budgeted(20 * MOST + 300 * COST)
    server.script(latency=0.1)
    with watch.watched() as seen:
        processes = spend(20, 40)
        until(lambda: server.stats()["in_flight"] >= 15, "the spenders did not start")
        for process in processes[:10]:
            process.kill()
        for process in processes[:10]:
            process.wait()
        before = billed(server)
        sums = told(processes[10:])
    assert max(seen) <= watch.limit
    assert before < billed(server) <= watch.counted <= watch.limit
    assert sums["ok"] > 0
    assert watch.state.held() == []
    lost = watch.counted - billed(server)
    assert 0 <= lost <= 10 * MOST


@pytest.mark.slow
def test_what_killed_processes_had_not_sent_is_free(
    budgeted: Callable[..., Budgeted], spend: Spend, server: TestServer, work: Path
) -> None:
    """They hold money while a command looks for their key; killed there, they have spent nothing."""
    watch = budgeted(10 * MOST, keys=f", keys: ['cmd:sh {work}/slow.sh']")
    (work / "slow.sh").write_text("sleep 3; echo sk-test\n")
    processes = spend(10, 1)
    until(lambda: len(watch.state.held()) == 10, "the spenders did not reserve")
    assert not any(held.sent for held in watch.state.held())
    everything = Account(watch.key, watch.limit)
    assert isinstance(watch.state.hold([everything], watch.limit, 30), Full)
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()
    assert isinstance(watch.state.hold([everything], watch.limit, 30), int)
    assert server.log() == []
    watch.state.close()


@pytest.mark.slow
def test_commands_at_once_are_refused_with_exit_6(
    budgeted: Callable[..., Budgeted], environ: dict[str, str], work: Path, server: TestServer
) -> None:
    """The same for whoever works from a shell: eight at once, money for some."""
    watch = budgeted(MOST + COST)
    server.script(latency=0.3)
    command = [sys.executable, "-m", "llmctl", "run", "-p", "spend", "--no-cache"]
    processes = [
        subprocess.Popen(
            [*command, f"call {number} please"],
            cwd=work,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    said = [process.communicate(timeout=120) for process in processes]
    codes = [process.returncode for process in processes]
    assert set(codes) == {0, 6}
    for code, (out, err) in zip(codes, said, strict=True):
        assert out.startswith("echo: call") if code == 0 else "budget total" in err
    assert billed(server) == watch.counted == codes.count(0) * COST
    assert watch.counted <= watch.limit


def test_the_ledger_and_the_budget_agree(
    budgeted: Callable[..., Budgeted], llmctl: Run, server: TestServer
) -> None:
    """An answer that broke off is counted with what was reserved, in both books."""
    watch = budgeted(10 * MOST)
    server.script(queue=["close_in_body", None, "status:500"])
    codes = [llmctl("run", "-p", "spend", "--no-stream", f"question {n}").returncode for n in range(3)]
    assert codes == [5, 0, 5]
    (total,) = [json.loads(llmctl("usage", "--json").stdout)["total"]]
    assert round(total["cost_usd"] * NANO) == watch.counted
    assert watch.counted > COST
