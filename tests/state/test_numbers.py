"""The numbers of calls: no two alike, whoever gives them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Thread

from llmctl.state.numbers import Numbers, numbers

ASKS = """
import sys
from pathlib import Path
from llmctl.state.numbers import numbers
give = numbers(Path(sys.argv[1]), lambda: 1_700_000_000.0)
print(*[give() for _ in range(3000)], flush=True)
sys.stdin.read()
"""


class Moment:
    """A clock that stands at a moment of Unix time."""

    def __init__(self, at: float = 1_700_000_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def test_numbers_grow_with_time_and_fit_the_ledger() -> None:
    """SQLite's integers have 63 bits; the order of calls is the order of their numbers."""
    now = Moment()
    number = Numbers(now, 2047)
    found = []
    for _ in range(100):
        now.at += 1
        found.append(number())
    assert found == sorted(set(found))
    now.at = 4_102_444_800  # the year 2100
    assert found[-1] < number() < 2**63


def test_numbers_never_repeat_nor_leave_their_place() -> None:
    """Not at 6,000 a second, not when the clock stands or goes back an hour."""
    now = Moment()
    number, next_door = Numbers(now, 7), Numbers(now, 8)
    found = [number() for _ in range(5000)]
    now.at -= 3600
    found += [number() for _ in range(5000)]
    assert found == sorted(set(found))
    assert not set(found) & {next_door() for _ in range(10_000)}
    assert {each >> 10 & 2047 for each in found} == {7}


def test_threads_of_a_process_share_one_place(tmp_path: Path) -> None:
    """A program may have two clients on one ledger."""
    found: list[int] = []

    def ask() -> None:
        give = numbers(tmp_path, Moment())
        found.extend(give() for _ in range(2000))

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 8000


def test_two_names_of_a_folder_are_one(tmp_path: Path) -> None:
    """A home may be reached by a link too, and a lock excludes nobody of its own process."""
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to("home")
    now = Moment()
    assert numbers(tmp_path / "link", now) is numbers(tmp_path / "home", now)


def test_processes_have_places_of_their_own(tmp_path: Path) -> None:
    """Whatever numbers the system gave them, and in the same millisecond; a place is free again after."""
    command = [sys.executable, "-c", ASKS, str(tmp_path)]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    found = []
    for process in started:
        assert process.stdout
        found += list(map(int, process.stdout.readline().split()))
    assert len(found) == len(set(found)) == 6 * 3000
    for process in started:
        process.communicate("")


def test_a_place_that_is_taken_is_left_to_who_has_it(tmp_path: Path) -> None:
    """Two processes whose numbers are 2,048 apart would else share one."""
    pinned = ASKS.replace("give =", "import os; os.getpid = lambda: int(sys.argv[2])\ngive =", 1)
    found: list[int] = []
    started = []
    for pid in (5000, 5000 + 2048, 5000 + 2 * 2048):
        command = [sys.executable, "-c", pinned, str(tmp_path), str(pid)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        found += list(map(int, process.stdout.readline().split()))
        started.append(process)
    assert len(set(found)) == 3 * 3000
    for process in started:
        process.communicate("")
