"""Draws docs/img/llmctl.svg: a terminal with what llmctl really says, asked of the test server.

python -m docs.picture
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path

from tests.server.client import TestServer

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "img" / "llmctl.svg"
COMMANDS = [
    'llmctl run -v "Name a river in Spain"',
    'llmctl run -v "Name a river in Spain"',
    "llmctl batch reviews.jsonl -o answers.jsonl",
    "llmctl batch reviews.jsonl -o answers.jsonl",
    "llmctl usage --by model --format table",
]
ANSWERS = {
    "default": "delay:0.4+answer:The Ebro.",
    "match": [{"contains": "review", "default": "answer:positive"}],
}
LEFT, TOP, LINE, CHAR, SIZE = 16, 44, 18, 7.3, 12
COLOURS = {"command": "#e6edf3", "output": "#a9b4c0", "told": "#7d8894", "ground": "#0d1117"}


def main() -> None:
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(svg(session()), encoding="utf-8")


def session() -> list[tuple[str, str]]:
    """Lines with their kind: a command, its output, or what llmctl tells on stderr."""
    lines: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as folder, TestServer.start() as server:
        server.script(**ANSWERS)
        Path(folder, "reviews.jsonl").write_bytes((ROOT / "docs/examples/reviews.jsonl").read_bytes())
        for command in COMMANDS:
            lines.append(("command", f"$ {command}"))
            out, err = said(command, Path(folder), server)
            lines += [("output", line) for line in out.splitlines()] + [
                ("told", line) for line in err.splitlines()
            ]
            lines.append(("output", ""))
    return lines[:-1]


def said(command: str, folder: Path, server: TestServer) -> tuple[str, str]:
    """What a command writes to stdout and stderr, in a home of its own."""
    done = subprocess.run(
        ["bash", "-c", f'llmctl() {{ "{sys.executable}" -m llmctl "$@"; }}; {command}'],
        cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=60,
        env={
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT),
            "HOME": str(folder), "LLMCTL_HOME": str(folder / "home"),
            "OPENAI_BASE_URL": server.openai, "OPENAI_API_KEY": "sk-" + "test" * 6,
        },
    )  # fmt: skip
    return done.stdout, done.stderr


def svg(lines: list[tuple[str, str]]) -> str:
    """The lines in a window."""
    width = LEFT * 2 + max(len(text) for _, text in lines) * CHAR
    height = TOP + len(lines) * LINE + LEFT
    dots = "".join(
        f'<circle cx="{20 + 18 * number}" cy="18" r="5.5" fill="{colour}"/>'
        for number, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    texts = "\n".join(
        f'<text x="{LEFT}" y="{TOP + number * LINE}" fill="{COLOURS[kind]}">{escape(text)}</text>'
        for number, (kind, text) in enumerate(lines)
    )
    style = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" font-family="{style}" '
        f'font-size="{SIZE}" xml:space="preserve">\n'
        f'<rect width="100%" height="100%" rx="8" fill="{COLOURS["ground"]}"/>{dots}\n{texts}\n</svg>\n'
    )


if __name__ == "__main__":
    main()
