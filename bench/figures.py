"""The tables of figures in README.md, out of results.json: python -m bench.figures [--check].

What was not measured is not in the tables; without any figure there is no section.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from bench.measure import RESULTS, ROOT

README = ROOT / "README.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end -->"
TYPER = ('`python -c "import typer"`', "import typer")
STARTUP = [
    ("`llmctl --version`", "--version", *TYPER),
    ("`llmctl --help`", "--help", *TYPER),
    ("`llmctl usage`, 1,000 calls", "usage", *TYPER),
    ("`llmctl run`, cached", "run, cached", *TYPER),
    ("`llmctl run`, asked", "run, cold", *TYPER),
    ("`llmctl run`, asked", "run, cold", "`llm`", "llm (PyPI)"),
    ("`llmctl run -m anthropic/…`", "run, anthropic", "`litellm.completion` in a script", "litellm script"),
]
"""What, its figure, what it stands against, and that one's figure."""
CONTENDERS = {"aiohttp": "a bare aiohttp loop, nothing kept", "llmctl": "**llmctl**, profile `prod`"}


def section(results: dict[str, Any]) -> str:
    """The README's section, empty where nothing was measured."""
    tables = [*startup(results.get("startup", {})), *batch(results.get("batch", {}))]
    if not tables:
        return ""
    end = "Medians against a server on the same machine, what is compared in one sitting. [How](bench/)"
    return "\n\n".join(["## Figures", *tables, end]) + "\n"


def startup(found: dict[str, Any]) -> Iterator[str]:
    """CPU time of whole commands, start-up included."""
    cpu = found.get("cpu_s", {})
    lines = [
        f"| {what} | {cpu[ours] * 1000:,.0f} ms | {against} | {cpu[theirs] * 1000:,.0f} ms |"
        f" {cpu[ours] / cpu[theirs]:.2f} × |"
        for what, ours, against, theirs in STARTUP
        if ours in cpu and theirs in cpu
    ]
    if lines:
        yield "\n".join([f"| CPU time ({sitting(found)}) | | against | | |", "|---|---|---|---|---|", *lines])


def batch(found: dict[str, Any]) -> Iterator[str]:
    """A table for each setting: everybody who took part."""
    for setting, taken in found.get("results", {}).items():
        head = f"{found['rows']:,} rows, {setting} ({sitting(found)})"
        lines = [
            f"| {CONTENDERS.get(name, name)} | {each['rows_per_s']:,.0f} | {each['cpu_s_per_1000']:.2f} ms |"
            f" {each['memory_mb']:,.0f} MB |"
            for name, each in taken.items()
        ]
        yield "\n".join([f"| {head} | rows/s | CPU a row | memory |", "|---|---|---|---|", *lines])


def sitting(found: dict[str, Any]) -> str:
    return f"{found['on']}, {found['machine']}"


def filled(readme: str) -> str:
    """The README's text with the section as the results have it."""
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    before, _, rest = readme.partition(BEGIN)
    return before + BEGIN + section(results) + END + rest.partition(END)[2]


def main(args: list[str]) -> int:
    """0, or 1 where `--check` finds that the README says something else than the results."""
    text = README.read_text(encoding="utf-8")
    if "--check" in args:
        return 0 if text == filled(text) else 1
    README.write_text(filled(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
