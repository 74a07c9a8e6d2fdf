"""`python -m tests.fuzz.run NAME SECONDS [SEED]`: one parser against mutated texts, in a process of its own.

The process may take MEMORY bytes and an input SLOW seconds; a crash prints the input that caused it,
made as small as hypothesis can. Exit code 0: none was found.
"""

from __future__ import annotations

import resource
import signal
import sys
import time
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from llmctl.core.errors import LlmctlError
from tests.fuzz.targets import TARGETS, Fuzzed

MEMORY = 2 * 2**30
SLOW = 5
BATCH = 100


class Slow(BaseException):
    """An input took longer than SLOW seconds."""


def mutated(fuzzed: Fuzzed) -> st.SearchStrategy[bytes]:
    """A seed with pieces cut out, doubled, replaced by words or by any bytes; or words alone."""
    word = (
        st.sampled_from(fuzzed.words)
        | st.binary(max_size=8)
        | st.text(max_size=4).map(lambda text: text.encode("utf-8", "replace"))
    )

    @st.composite
    def build(draw: st.DrawFn) -> bytes:
        data = draw(st.sampled_from(fuzzed.seeds)) if fuzzed.seeds else b""
        for _ in range(draw(st.integers(0, 6))):
            start = draw(st.integers(0, len(data)))
            end = draw(st.integers(start, min(len(data), start + 40)))
            piece = draw(st.one_of(word, st.just(b""), st.just(data[start:end] * draw(st.integers(2, 50)))))
            data = data[:start] + piece + data[end:]
        return data

    return st.one_of(build(), st.lists(word, max_size=20).map(b"".join))


def fuzz(name: str, seconds: float, first: int = 0) -> int:
    """How many inputs were tried; what is no error of ours comes through."""
    fuzzed, tried, n = TARGETS[name], 0, first
    end = time.monotonic() + seconds

    def alarm(*_: Any) -> None:
        raise Slow(f"{name}: over {SLOW} s")

    signal.signal(signal.SIGALRM, alarm)

    def once(data: bytes) -> None:
        nonlocal tried
        tried += 1
        signal.setitimer(signal.ITIMER_REAL, SLOW)
        try:
            fuzzed.run(data)
        except LlmctlError as error:
            assert error.message and "\n" not in error.message.strip()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    while time.monotonic() < end:
        rules = settings(
            max_examples=BATCH,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        seed(n)(rules(given(mutated(fuzzed))(once)))()
        n += 1
    return tried


def main(name: str, seconds: str, first: str = "0") -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    tried = fuzz(name, float(seconds), int(first))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"{name:<10} {tried:>8,} inputs  {peak:5.0f} MB at most\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
