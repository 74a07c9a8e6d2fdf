"""The examples of a page: what is run, and what it has to say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^(`{3,})(\w*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
NOTE = re.compile(r"<!-- ([\w-]+): (.*?) -->\s*", re.DOTALL)
WILD = re.compile(r"…|\.\.\.")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, text and line, and the notes that stand right before it."""

    language: str
    text: str
    line: int
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A command (with its continuation lines) and the lines expected of it."""

    command: str
    expected: str


def blocks(page: Path) -> Iterator[Block]:
    """All fenced blocks in order; `expected` of a python block is the text block right after it."""
    text = page.read_text(encoding="utf-8")
    end = 0
    for match in FENCE.finditer(text):
        between = text[end : match.start()]
        last = re.search(r"(?:<!-- [\w-]+: .*? -->\s*)*\Z", between, re.DOTALL)
        notes = dict(NOTE.findall(last.group() if last else ""))
        if not between.strip():
            notes["follows"] = "the block before"
        yield Block(match[2], match[3], text.count("\n", 0, match.start()) + 1, notes)
        end = match.end()


def steps(block: Block) -> list[Step]:
    """The commands of a console block: `$ ` begins one, `> ` goes on with it, the rest is expected."""
    found: list[tuple[list[str], list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(([line[2:]], []))
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1][0].append(line[2:])
        else:
            assert found, f"line {block.line}: a console block begins with a command"
            found[-1][1].append(line)
    return [Step("\n".join(command), "\n".join(expected)) for command, expected in found]


def matches(expected: str, said: str) -> bool:
    """Whether `said` is what is expected; `…` stands for anything in a line, alone for any lines."""
    pattern = ""
    for line in expected.splitlines():
        if WILD.fullmatch(line.strip()):
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += "[^\n]*?".join(map(re.escape, WILD.split(line.rstrip()))) + " *\n"
    return re.fullmatch(pattern, said if said.endswith("\n") or not said else said + "\n") is not None
