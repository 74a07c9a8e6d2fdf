"""Parsers against texts that somebody else wrote: a few seconds here, five minutes in `bench.fuzz`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llmctl.core.errors import LlmctlError
from tests.fuzz.targets import ROOT, TARGETS

SECONDS = 2.5


@pytest.mark.parametrize("name", TARGETS)
def test_no_text_breaks_a_parser(name: str) -> None:
    """Whatever stands in a file or comes from a server is an answer or one of our errors, in bounded
    memory and time: a crash, an endless loop or a full memory is somebody else's way in."""
    command = [sys.executable, "-m", "tests.fuzz.run", name, str(SECONDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert f"{name} " in done.stdout


def test_the_fuzzer_finds_what_is_there() -> None:
    """A fuzzer that cannot fail proves nothing: a planted crash has to come out."""
    code = (
        "from tests.fuzz import run, targets\n"
        "def planted(data):\n"
        "    assert b'<<: ' not in data\n"
        "targets.TARGETS['planted'] = targets.Fuzzed(planted, (b'a: 1',), targets.YAMLS)\n"
        "run.main('planted', '20')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1 and "data=b'<<: " in done.stderr


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_sound(name: str) -> None:
    """The texts to begin from have to pass, or only the parser's first line would be tried."""
    fuzzed = TARGETS[name]
    for data in fuzzed.seeds:
        try:
            fuzzed.run(data)
        except LlmctlError as error:
            pytest.fail(f"{name}: {error.message}")
