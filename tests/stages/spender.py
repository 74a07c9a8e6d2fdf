"""A process that spends: `python -m tests.stages.spender CALLS` with the variables of a user.

Prints one JSON object when it is done: how many calls were answered, and how many were refused.
"""

from __future__ import annotations

import json
import os
import sys

from llmctl import Client
from llmctl.core.errors import BudgetError, ProviderError


def main(calls: int) -> None:
    found = {"ok": 0, "refused": 0, "failed": 0}
    codes: set[int] = set()
    with Client() as client:
        for number in range(calls):
            try:
                client.run(f"{os.getpid()} asks {number}", cache="off")
                found["ok"] += 1
            except BudgetError as error:
                codes.add(error.exit_code)
                found["refused"] += 1
            except ProviderError:
                found["failed"] += 1
    print(json.dumps({**found, "exit_codes": sorted(codes)}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
