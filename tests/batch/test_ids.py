"""llmctl.batch.ids: no two rows under one id, in little memory."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmctl.batch import ids as module
from llmctl.batch.ids import Seen, check_ids, refuse_doubles
from llmctl.core.errors import ConfigError


@given(st.lists(st.text(max_size=2)))
def test_doubles_are_found_exactly_when_there_are_some(names: list[str]) -> None:
    """A missed double overwrites an answer, a false alarm stops a sound file."""
    rows = [(name, number + 1) for number, name in enumerate(names)]
    if len(set(names)) == len(names):
        check_ids(lambda: rows, "f")
    else:
        with pytest.raises(ConfigError, match="twice"):
            check_ids(lambda: rows, "f")


def test_the_message_names_file_id_and_both_lines() -> None:
    """With the two lines the user mends it in an editor."""
    rows = [("a", 1), ("b", 2), ("a", 9)]
    with pytest.raises(ConfigError, match=r"\Af:9: the id 'a' stands twice, first at line 1\Z") as caught:
        check_ids(lambda: rows, "f")
    assert caught.value.exit_code == 3


def test_filters_that_are_full_still_know_their_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """A double must be found across the filters of a file of many millions."""
    monkeypatch.setattr(module, "PER_FILTER", 10)
    seen = Seen()
    for name in range(100):
        seen.add(str(name))
    seen.add("3")
    seen.add("99")
    assert {"3", "99"} <= seen.suspects


def test_a_file_full_of_doubles_is_refused_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not collect every id of the file before saying so."""
    monkeypatch.setattr(module, "CROWD", 5)
    read: list[int] = []

    def rows() -> Iterator[tuple[str, int]]:
        for number in range(10_000):
            read.append(number)
            yield str(number // 2), number + 1

    with pytest.raises(ConfigError, match="'0' stands twice, first at line 1"):
        check_ids(rows, "f")
    assert len(read) < 50


def test_a_crowd_of_false_suspects_does_not_end_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance hits grow with the file; the exact look clears them and reading goes on."""
    monkeypatch.setattr(module, "CROWD", 2)
    monkeypatch.setattr(module, "BITS", 64)
    names = [str(number) for number in range(200)]
    check_ids(lambda: [(name, 1) for name in names], "f")
    with pytest.raises(ConfigError, match="'7' stands twice"):
        check_ids(lambda: [(name, 1) for name in [*names, "7"]], "f")


def test_nobody_is_suspected_without_a_reason() -> None:
    """The second reading of a sound file should have next to nothing to look at."""
    seen = Seen()
    generator = random.Random(1)
    for _ in range(50_000):
        seen.add(f"{generator.getrandbits(64):x}")
    assert len(seen.suspects) < 50
    refuse_doubles([], seen.suspects, "f")


MILLION = """
import resource
from llmctl.batch.ids import Seen
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
seen = Seen()
for number in range(1_000_000):
    seen.add(f"request-{number}")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, len(seen.suspects))
"""


@pytest.mark.slow
def test_a_million_ids_need_about_four_megabytes() -> None:
    """A set of them would take a hundred."""
    done = subprocess.run([sys.executable, "-c", MILLION], capture_output=True, text=True, check=True)
    kibibytes, suspects = map(int, done.stdout.split())
    assert kibibytes < 5_000 * (1024 if sys.platform == "darwin" else 1)
    assert suspects < 5_000
