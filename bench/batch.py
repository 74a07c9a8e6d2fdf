"""Rows a second, CPU and memory of a batch against bare loops and peers: python -m bench.batch --help.

Everything runs against one loopback server process in the same sitting, in turn; llmctl with all that
`prod` turns on: journal, ledger, cache, budget, redaction, alerts. The server's own ceiling is what a
bare aiohttp loop reaches. Peers run where they are installed, or in another interpreter:
`--elsewhere curator=PYTHON`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.loops import FOREIGN
from bench.measure import ROOT, Taken, median, once, record, table
from tests.server.client import TestServer

PY = sys.executable
PEERS = {"litellm": "litellm", "openai": "openai", "flexllm": "flexllm", "async-batch-llm": "async_batch_llm"}
FAULTS = {"status:429+retry_after:1": 0.05, "status:500": 0.02, "reset_before_headers": 0.01}
"""A bad hour: the share of requests that meet each."""


def make_rows(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            file.write(json.dumps({"prompt": f"say something short about item number {number}"}) + "\n")


def environ(home: Path, server: TestServer) -> dict[str, str]:
    key = "sk-" + "bench" * 4
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "LLMCTL_HOME": str(home / "state"),
        "CURATOR_CACHE_DIR": str(home / "curator"),
        "TELEMETRY_ENABLED": "false",
        "OPENAI_API_KEY": key,
        "OPENAI_BASE_URL": server.openai,
        "OPENAI_API_BASE": server.openai,
        "ANTHROPIC_API_KEY": key,
        "ANTHROPIC_BASE_URL": server.anthropic,
        "ANTHROPIC_API_BASE": server.anthropic,
        "AZURE_AI_API_KEY": key,
        "AZURE_AI_API_BASE": server.openai,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


class Bench:
    """One server, one folder, and the contenders' command lines."""

    def __init__(self, folder: Path, server: TestServer, elsewhere: Mapping[str, str]) -> None:
        self.folder = folder
        self.server = server
        self.env = environ(folder, server)
        self.elsewhere = elsewhere
        self.runs = 0

    def command(self, name: str, rows: Path, concurrency: int) -> Sequence[str]:
        """Every run of llmctl has an output, a cache and a ledger of its own.

        `llmctl-codec` and `llmctl-sdk` ask through litellm; `x2` at the end: by two workers.
        """
        if not name.startswith("llmctl"):
            return [self.elsewhere.get(name, PY), "-m", "bench.loops", name, str(rows), str(concurrency)]
        self.runs += 1
        name, _, workers = name.partition("x")
        return [
            PY, "-m", "llmctl", "batch", str(rows), "-o", str(self.folder / f"out{self.runs}.jsonl"),
            "-p", "prod", "-q", "-O", "max_tokens=100", "--concurrency", str(concurrency),
            "--home", str(self.folder / f"home{self.runs}"), "--workers", workers or "1",
            *(["-m", FOREIGN[name.partition("-")[2]]] if "-" in name else []),
        ]  # fmt: skip

    def once(self, name: str, rows: Path, concurrency: int) -> Taken:
        found = once(self.command(name, rows, concurrency), self.env)
        if found.code != 0:
            raise SystemExit(f"{name}: exit code {found.code}")
        return found

    def compare(
        self, names: Sequence[str], count: int, concurrency: int, latency: float, runs: int
    ) -> dict[str, Any]:
        """Medians of rows/s, CPU per 1,000 rows (start-up taken off by a run of few rows) and memory."""
        taken: dict[str, list[Taken]] = {name: [] for name in names}
        idle: dict[str, list[Taken]] = {name: [] for name in names}
        self.server.script(latency=latency)
        rows, few = self.folder / "rows.jsonl", self.folder / "few.jsonl"
        make_rows(rows, count)
        make_rows(few, 5)
        for _ in range(runs):
            for name in names:
                idle[name].append(self.once(name, few, 1))
                taken[name].append(self.once(name, rows, concurrency))
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

    def growth(self, counts: Sequence[int], concurrency: int) -> dict[str, Any]:
        """CPU a row and peak memory by the number of rows."""
        self.server.script()
        figures: dict[str, Any] = {}
        for count in counts:
            rows = self.folder / "rows.jsonl"
            make_rows(rows, count)
            found = self.once("llmctl", rows, concurrency)
            again = once(self._last(), self.env)
            figures[str(count)] = {
                "wall_s": round(found.wall, 1),
                "cpu_ms_a_row": round(found.cpu / count * 1000, 4),
                "memory_mb": round(found.memory, 1),
                "again_cpu_s": round(again.cpu, 2),
            }
            print(f"{count:>9,} rows: {figures[str(count)]}", flush=True)
        return figures

    def _last(self) -> Sequence[str]:
        """The last command once more: everything is finished already."""
        self.runs -= 1
        return self.command("llmctl", self.folder / "rows.jsonl", 50)

    def chaos(self, count: int, concurrency: int) -> dict[str, Any]:
        """A batch through a bad hour at 200 ms: how long, how many requests, how many rows were answered."""
        self.server.reset()
        self.server.script(latency=0.2, random={"seed": 7, "faults": FAULTS})
        rows = self.folder / "rows.jsonl"
        make_rows(rows, count)
        found = self.once("llmctl", rows, concurrency)
        out = (self.folder / f"out{self.runs}.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        ok = sum(json.loads(line)["status"] == "ok" for line in out)
        by_status = self.server.stats()["by_status"]
        return {"wall_s": round(found.wall, 2), "ok": ok, "rows": count, "requests": by_status}


def show(figures: dict[str, Any], latency: float, concurrency: int) -> None:
    """Ratios are to the first contender."""
    first, base = next(iter(figures.items()))
    rows = [("contender", "rows/s", f"x {first}", "CPU s/1000", f"x {first}", "MB")]
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
    parser.add_argument("--latency", type=float, nargs="*", default=[0.0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--names", nargs="*", default=["aiohttp", "llmctl"])
    parser.add_argument("--peers", nargs="*", default=[name for name, own in PEERS.items() if find_spec(own)])
    parser.add_argument("--elsewhere", nargs="*", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--growth", type=int, nargs="*", default=[], metavar="ROWS")
    parser.add_argument("--foreign", type=int, default=0, metavar="ROWS", help="through litellm's formats")
    parser.add_argument("--chaos", type=int, default=0, metavar="ROWS")
    asked = parser.parse_args()
    elsewhere = dict(each.split("=", 1) for each in asked.elsewhere)
    with tempfile.TemporaryDirectory() as place, TestServer.start(log=False) as server:
        bench = Bench(Path(place), server, elsewhere)
        results = {}
        for latency in asked.latency:
            for concurrency in asked.concurrency:
                names = list(dict.fromkeys([*asked.names, *asked.peers, *elsewhere]))
                found = bench.compare(names, asked.rows, concurrency, latency, asked.runs)
                show(found, latency, concurrency)
                results[f"latency {latency:g} s, {concurrency} in flight"] = found
        if results:
            record("batch", {"rows": asked.rows, "results": results})
        if asked.foreign:
            results = {}
            for way in FOREIGN:
                names = [way, f"llmctl-{way}", f"llmctl-{way}x2"]
                results[way] = bench.compare(names, asked.foreign, 50, 0.0, asked.runs)
                show(results[way], 0.0, 50)
            record("foreign", {"rows": asked.foreign, "results": results})
        if asked.growth:
            record("growth", {"results": bench.growth(asked.growth, 50)})
        if asked.chaos:
            figures = bench.chaos(asked.chaos, 200)
            print(f"bad hour: {figures}")
            record("chaos", figures)


if __name__ == "__main__":
    main()
