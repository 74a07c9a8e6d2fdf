"""A program at chosen times: `python -m tests.faults.clocked SECONDS…` asks once at each of them.

Its clock is set before llmctl is loaded. Prints a line of JSON a time: what became of the call, and
how the budgets stand after it.
"""

from __future__ import annotations

import json
import sys
import time


class Clock:
    """Where the machine's clock is put, in Unix seconds; it goes on from there."""

    def __init__(self) -> None:
        self.shift = 0.0
        self.real = time.time

    def put(self, at: float) -> None:
        self.shift = at - self.real()

    def __call__(self) -> float:
        return self.real() + self.shift


def main(times: list[float]) -> None:
    clock = Clock()
    time.time = clock
    from llmctl import Client
    from llmctl.core.errors import LlmctlError

    with Client() as client:
        for number, at in enumerate(times):
            clock.put(at)
            try:
                client.run(f"question {number}", cache="off")
                code = 0
            except LlmctlError as error:
                code = error.exit_code
            print(json.dumps({"code": code, "budgets": [each.envelope() for each in client.budget()]}))


if __name__ == "__main__":
    main([float(each) for each in sys.argv[1:]])
