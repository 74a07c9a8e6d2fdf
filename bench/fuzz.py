"""All parsers against mutated texts: `python -m bench.fuzz [SECONDS]`, 300 in all by default.

Each parser runs in a process of its own with bounded memory; the first crash ends the bench with the
text that caused it. The seed is the time, so every run looks elsewhere.
"""

from __future__ import annotations

import subprocess
import sys
import time

from tests.fuzz.targets import TARGETS


def main(seconds: float = 300.0) -> None:
    """SystemExit(1) where a parser breaks."""
    first = int(time.time())
    for name in TARGETS:
        command = [sys.executable, "-m", "tests.fuzz.run", name, str(seconds / len(TARGETS)), str(first)]
        if subprocess.run(command, check=False).returncode:
            raise SystemExit(f"{name}: broken (seed {first})")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
