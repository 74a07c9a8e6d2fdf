"""Kills batches at random moments and starts them again until they end.

    python -m bench.kill [--kills 200] [--rows 2000] [--seed 0]

Prints what it came to; ends with an AssertionError where a row was lost, stood twice or out of
order, where more was paid again than was in flight, where the ledger's calls and sums came apart,
or where the budget counts less than the ledger.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from tests.batch.kills import CONCURRENCY, torture
from tests.server.client import TestServer


def main() -> None:
    options = argparse.ArgumentParser(
        prog="python -m bench.kill",
        description="Kill batches and see whether they lose answers or money.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    options.add_argument("--kills", type=int, default=200, help="go on until so many batches were killed")
    options.add_argument("--rows", type=int, default=2000, help="rows of each batch")
    options.add_argument("--seed", type=int, default=0, help="of the moments")
    given = options.parse_args()
    began = time.monotonic()
    with TestServer.start(log=False) as server, tempfile.TemporaryDirectory() as folder:
        server.script(latency=0.02)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "LLMCTL_HOME": f"{folder}/home",
            "OPENAI_API_KEY": "sk-" + "test" * 6,
            "OPENAI_BASE_URL": server.openai,
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }
        found = torture(server, environ, Path(folder), kills=given.kills, rows=given.rows, seed=given.seed)
    print(
        f"{found.kills} kills of {found.batches} batches, {found.rows:,} rows, all answered once and in order"
    )
    print(f"{found.again:,} requests paid again; at most {found.kills * CONCURRENCY:,} were in flight")
    print(f"${found.ledger / 1e9:.6f} in the ledger, ${found.budget / 1e9:.6f} counted by the budget")
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
