"""What the benchmarks share: CPU seconds and memory of whole processes, medians, and their results.

A figure is never absolute: each benchmark runs its baseline in the same sitting, in turn with what it
measures, and prints the ratio. `record` keeps the newest figures in `bench/results.json`.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results.json"


@dataclass(frozen=True, slots=True)
class Taken:
    """One finished process: CPU and wall seconds, peak memory in MB, exit code."""

    cpu: float
    wall: float
    memory: float
    code: int


def once(command: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Taken:
    """Runs a command to its end, by the operating system's own accounting of it and its children."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    return Taken(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, process.returncode)


def in_turn(
    commands: Mapping[str, Sequence[str]], env: Mapping[str, str], runs: int
) -> dict[str, list[Taken]]:
    """Every command once to warm up, then `runs` rounds of all of them, so that drift meets each alike."""
    taken: dict[str, list[Taken]] = {name: [] for name in commands}
    for round_ in range(runs + 1):
        for name, command in commands.items():
            found = once(command, env)
            if found.code != 0:
                raise SystemExit(f"{name}: exit code {found.code}: {' '.join(command)}")
            if round_:
                taken[name].append(found)
    return taken


def median(found: Sequence[Taken], what: str = "cpu") -> float:
    return float(statistics.median(getattr(each, what) for each in found))


def record(name: str, figures: Mapping[str, Any]) -> None:
    """Replaces one benchmark's figures in results.json."""
    known: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    known[name] = {
        "on": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}",
        **figures,
    }
    RESULTS.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def table(rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns on stdout; the first row heads them."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        sys.stdout.write(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        )
