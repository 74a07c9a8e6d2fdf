"""CPU and memory of `llmctl estimate` for a file of many rows: python -m bench.estimate [--rows 100000].

The baseline in the same sitting is a loop that reads the same rows and counts their tokens with tiktoken
and nothing else; a file of a tenth of the rows shows whether memory grows with them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from pathlib import Path

from bench.measure import ROOT, once, record, table

PY = sys.executable
SENTENCE = (
    "the quick brown fox jumps over a lazy dog while seven wizards brew potent soup "
    "under starlight and the invoice number of every customer stands in the first "
    "column of an unread spreadsheet"
)
WORDS = SENTENCE.split(" ")
SYSTEM = " ".join(WORDS * 10)
BASELINE = """
import json, sys
from llmctl.pricing.encodings import counter
count = counter("o200k_base")
total = 0
for line in open(sys.argv[1]):
    row = json.loads(line)
    total += count(row["prompt"])
print(total)
"""
MOST_S = 60.0


def fill(path: Path, rows: int) -> None:
    """Prompts of 20 to 100 words, every tenth a double."""
    chance = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        prompt = ""
        for number in range(rows):
            if number % 10:
                prompt = f"{number} {' '.join(chance.choices(WORDS, k=chance.randint(20, 100)))}"
            file.write(json.dumps({"id": f"row-{number}", "prompt": prompt or "first"}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "LLMCTL_HOME": str(home / "state"),
            "LLMCTL_PROFILE": "dev",
            "OPENAI_API_KEY": "none",
            "PYTHONPATH": str(ROOT),
        }
        small, large = home / "small.jsonl", home / "large.jsonl"
        fill(small, rows // 10)
        fill(large, rows)
        commands = {
            "tiktoken alone": [PY, "-c", BASELINE, str(large)],
            f"estimate, {rows // 10:,} rows": [PY, "-m", "llmctl", "estimate", str(small), "-s", SYSTEM],
            f"estimate, {rows:,} rows": [PY, "-m", "llmctl", "estimate", str(large), "-s", SYSTEM],
        }
        once(commands["tiktoken alone"], env)  # bytecode and page cache
        taken = {name: once(command, env) for name, command in commands.items()}
    lines = [("command", "CPU s", "wall s", "MB")]
    for name, found in taken.items():
        if found.code:
            raise SystemExit(f"{name}: exit code {found.code}")
        lines.append((name, f"{found.cpu:.1f}", f"{found.wall:.1f}", f"{found.memory:.0f}"))
    table(lines)
    alone, few, many = taken.values()
    print(
        f"estimate / tiktoken alone: {many.cpu / alone.cpu:.1f}; at most {MOST_S:g} s: {many.cpu <= MOST_S}"
    )
    figures = {"rows": rows, "cpu_s": round(many.cpu, 1), "tiktoken_cpu_s": round(alone.cpu, 1)}
    record("estimate", {**figures, "mb": round(many.memory), "mb_of_a_tenth": round(few.memory)})


if __name__ == "__main__":
    main()
