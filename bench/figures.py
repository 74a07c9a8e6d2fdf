"""Fills the table of figures in README.md out of results.json: python -m bench.figures [--check].

What was not measured is not in the table; without any figure there is no table.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results.json"
BEGIN, END = "<!-- figures -->\n", "<!-- end -->"
TYPER = '`python -c "import typer"`'


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: paths into the results of one benchmark, and what they are called."""

    bench: str
    what: str
    ours: str
    against: str
    theirs: str
    form: str = "{:,.0f} ms CPU"
    scale: float = 1000


ROWS = [
    Row("startup", "`llmctl --version`", "cpu_s.--version", TYPER, "cpu_s.import typer"),
    Row("startup", "`llmctl --help`", "cpu_s.--help", TYPER, "cpu_s.import typer"),
    Row("startup", "`llmctl usage`, 1,000 calls", "cpu_s.usage", TYPER, "cpu_s.import typer"),
    Row("startup", "`llmctl run`, cached", "cpu_s.run, cached", TYPER, "cpu_s.import typer"),
    Row("startup", "`llmctl run`, asked", "cpu_s.run, cold", TYPER, "cpu_s.import typer"),
    Row("startup", "`llmctl run`, asked", "cpu_s.run, cold", "`llm`", "cpu_s.llm (PyPI)"),
    Row(
        "startup", "`llmctl run -m anthropic/…`", "cpu_s.run, anthropic",
        "the same with `litellm.completion`", "cpu_s.litellm script",
    ),
]  # fmt: skip
"""What the README may say; a row whose figures are not in results.json is left out."""


def section(results: dict[str, Any]) -> str:
    """The README's section, empty where nothing was measured."""
    lines = [text for row in ROWS if (text := line(row, results.get(row.bench, {})))]
    if not lines:
        return ""
    sittings = sorted(
        {
            f"{results[row.bench]['on']}, {results[row.bench]['machine']}"
            for row in ROWS
            if row.bench in results
        }
    )
    head = ["## Figures", "", "| what | llmctl | against | | ratio |", "|---|---|---|---|---|"]
    end = f"Medians; each line in one sitting with what it is compared to. {'; '.join(sittings)}. [bench/](bench/)"
    return "\n".join([*head, *lines, "", end, ""])


def line(row: Row, results: dict[str, Any]) -> str | None:
    ours, theirs = value(results, row.ours), value(results, row.theirs)
    if ours is None or theirs is None:
        return None
    shown = [row.form.format(each * row.scale) for each in (ours, theirs)]
    return f"| {row.what} | {shown[0]} | {row.against} | {shown[1]} | {ours / theirs:.2f} × |"


def value(results: dict[str, Any], path: str) -> float | None:
    """The number at `path`, its parts joined by the first dots; None where there is none."""
    found: Any = results
    while path and isinstance(found, dict):
        if path in found:
            return float(found[path])
        part, _, path = path.partition(".")
        found = found.get(part)
    return None


def readme() -> str:
    """README.md with the section as the results have it."""
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + section(results) + END + rest.partition(END)[2]


def main(args: list[str]) -> int:
    """0, or 1 where `--check` finds that the README says something else than the results."""
    path, text = ROOT / "README.md", readme()
    if "--check" in args:
        return 0 if path.read_text(encoding="utf-8") == text else 1
    path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
