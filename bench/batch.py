"""Rows a second and CPU of a batch against bare loops and peers: python -m bench.batch --help.

Everything runs against one loopback server process in the same sitting, in turn; llmctl with journal,
ledger, cache and the redaction of `prod`. The server's own ceiling is what a bare aiohttp loop reaches.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.measure import Taken, median, once, record, table
from tests.server.client import TestServer

PY = sys.executable
PEERS = {"litellm": "litellm", "openai": "openai", "flexllm": "flexllm", "async-batch-llm": "async_batch_llm"}


def make_rows(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            file.write(json.dumps({"prompt": f"say something short about item number {number}"}) + "\n")


def environ(home: Path, server: TestServer) -> dict[str, str]:
    key = "sk-" + "bench" * 4
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LLMCTL_HOME": str(home / "state"),
        "OPENAI_API_KEY": key,
        "OPENAI_BASE_URL": server.openai,
        "OPENAI_API_BASE": server.openai,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


def command(name: str, rows: Path, concurrency: int, folder: Path, fresh: int) -> Sequence[str]:
    """One contender's command line; `fresh` keeps outputs and caches of two runs apart."""
    if name != "llmctl":
        return [PY, "-m", "bench.loops", name, str(rows), str(concurrency)]
    return [
        PY, "-m", "llmctl", "batch", str(rows), "-o", str(folder / f"out{fresh}.jsonl"), "-p", "prod", "-q",
        "-O", "max_tokens=100", "--concurrency", str(concurrency), "--home", str(folder / f"home{fresh}"),
    ]  # fmt: skip


def compare(names: Sequence[str], count: int, concurrency: int, latency: float, runs: int) -> dict[str, Any]:
    """Medians of rows/s, CPU per 1,000 rows (start-up taken off by an empty run) and memory."""
    taken: dict[str, list[Taken]] = {name: [] for name in names}
    idle: dict[str, list[Taken]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as place, TestServer.start(log=False) as server:
        folder = Path(place)
        env = environ(folder, server)
        server.script(latency=latency)
        make_rows(folder / "rows.jsonl", count)
        make_rows(folder / "few.jsonl", 5)
        for round_ in range(runs):
            for name in names:
                idle[name].append(once(command(name, folder / "few.jsonl", 1, folder, -round_ - 1), env))
                found = once(command(name, folder / "rows.jsonl", concurrency, folder, round_), env)
                if found.code != 0:
                    raise SystemExit(f"{name}: exit code {found.code}")
                taken[name].append(found)
    figures: dict[str, Any] = {}
    for name in names:
        wall = max(median(taken[name], "wall") - median(idle[name], "wall") + 5 * latency, 1e-3)
        cpu = median(taken[name]) - median(idle[name])
        figures[name] = {
            "rows_per_s": round(count / wall, 1),
            "cpu_s_per_1000": round(cpu / count * 1000, 4),
            "memory_mb": round(median(taken[name], "memory"), 1),
        }
    return figures


def show(figures: dict[str, Any], latency: float, concurrency: int) -> None:
    base = figures["aiohttp"]
    rows = [("contender", "rows/s", "x aiohttp", "CPU s/1000", "x aiohttp", "MB")]
    for name, found in figures.items():
        rows.append((
            name, f"{found['rows_per_s']:,.0f}", f"{found['rows_per_s'] / base['rows_per_s']:.2f}",
            f"{found['cpu_s_per_1000']:.3f}", f"{found['cpu_s_per_1000'] / base['cpu_s_per_1000']:.2f}",
            f"{found['memory_mb']:.0f}",
        ))  # fmt: skip
    print(f"\nlatency {latency * 1000:.0f} ms, {concurrency} in flight" + (
        f", ideal {concurrency / latency:,.0f} rows/s" if latency else ""))  # fmt: skip
    table(rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[50])
    parser.add_argument("--latency", type=float, nargs="+", default=[0.0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--peers", nargs="*", default=[name for name, module in PEERS.items() if find_spec(module)]
    )
    asked = parser.parse_args()
    names = ["aiohttp", "llmctl", *asked.peers]
    results = {}
    for latency in asked.latency:
        for concurrency in asked.concurrency:
            found = compare(names, asked.rows, concurrency, latency, asked.runs)
            show(found, latency, concurrency)
            results[f"latency {latency:g} s, {concurrency} in flight"] = found
    record("batch", {"rows": asked.rows, "results": results})


if __name__ == "__main__":
    main()
