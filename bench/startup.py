"""CPU of whole commands against `python -c "import typer"`: python -m bench.startup [--runs 9].

Also: a cold `run` against the loopback server and the `llm` command doing the same (where `llm` is
installed), and a provider that needs litellm against a bare litellm script.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from bench.measure import in_turn, median, record, table
from tests.server.client import TestServer

PY = sys.executable
LIMITS = {"--version": 0.5, "--help": 2.5, "usage": 3.0, "run, cached": 2.0, "run, cold": 6.0}
LITELLM = """
import os
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm
answer = litellm.completion("anthropic/claude-sonnet-4-5", [{"role": "user", "content": "hello"}],
    api_base=os.environ["ANTHROPIC_BASE_URL"], api_key="k", max_tokens=100)
assert answer.choices[0].message.content
"""


def environ(home: Path, server: TestServer) -> dict[str, str]:
    key = "sk-" + "bench" * 4
    return {
        "PATH": os.environ["PATH"], "HOME": str(home),
        "LLMCTL_HOME": str(home / "state"), "LLM_USER_PATH": str(home / "llm"),
        "OPENAI_API_KEY": key, "OPENAI_BASE_URL": server.openai, "OPENAI_API_BASE": server.openai,
        "ANTHROPIC_API_KEY": key, "ANTHROPIC_BASE_URL": server.anthropic, "LLMCTL_PROFILE": "dev",
    }  # fmt: skip


def fill_ledger(home: Path, calls: int) -> None:
    """A ledger of many calls, written by the ledger itself."""
    from llmctl.core.model import Request, Response, Target, Usage
    from llmctl.machine import SystemClock
    from llmctl.usage.ledger import SqliteLedger

    ledger = SqliteLedger(home / "state" / "ledger.db", SystemClock(), group=True)
    target = Target("main", "openai/gpt-4o-mini", "openai")
    for number in range(calls):
        request = Request(
            target, ({"role": "user", "content": "x"},), call=number + 1, run_id="bench", profile="dev"
        )
        answer = Response(
            "y", "openai/gpt-4o-mini", usage=Usage(10, 5), cost=4500, latency=0.2 + number % 7 / 10
        )
        ledger.record(request, answer, answer.latency)
    ledger.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder, TestServer.start() as server:
        home = Path(folder)
        env = environ(home, server)
        fill_ledger(home, 1000)
        llmctl = [PY, "-m", "llmctl"]
        commands = {
            "import typer": [PY, "-c", "import typer"],
            "--version": [*llmctl, "--version"],
            "--help": [*llmctl, "--help"],
            "usage": [*llmctl, "usage"],
            "run, cached": [*llmctl, "run", "hello"],
            "run, cold": [*llmctl, "run", "--no-cache", "hello"],
            "litellm script": [PY, "-c", LITELLM],
            "run, anthropic": [*llmctl, "run", "--no-cache", "-m", "anthropic/claude-sonnet-4-5", "hello"],
        }
        if shutil.which("llm"):
            commands["llm (PyPI)"] = ["llm", "-m", "gpt-4o-mini", "hello"]
        taken = in_turn(commands, env, runs)
    base = median(taken["import typer"])
    rows = [("command", "CPU ms", "x import typer", "at most", "wall ms", "MB")]
    figures: dict[str, float] = {}
    for name, found in taken.items():
        cpu = median(found)
        figures[name] = round(cpu, 4)
        limit = f"{LIMITS[name]:g}" if name in LIMITS else ""
        rows.append((
            name, f"{cpu * 1000:.0f}", f"{cpu / base:.2f}", limit, f"{median(found, 'wall') * 1000:.0f}",
            f"{median(found, 'memory'):.0f}",
        ))  # fmt: skip
    table(rows)
    ratio = figures["run, anthropic"] / figures["litellm script"]
    print(f"anthropic through llmctl / litellm script: {ratio:.2f} (at most 1.1)")
    if "llm (PyPI)" in figures:
        print(f"cold run / llm: {figures['run, cold'] / figures['llm (PyPI)']:.2f} (at most 0.33)")
    record("startup", {"cpu_s": figures})


if __name__ == "__main__":
    main()
