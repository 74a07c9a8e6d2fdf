"""Shorter prompts: first without loss, then cut to a limit with the structure kept.

Without loss: white space outside code, and lines and instructions that stand twice. Cut: prose goes
first, sentence by sentence from the middle outwards, then whole lists, then whole code and data, then
headings; the first and the last sentence go last. A line `[…]` marks every gap.

A line that may be code, JSON or a URL is never changed: fenced and indented lines, lines with brackets,
braces, backticks or `://`, and all lines between an opening bracket and its closing one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmctl.core.model import Message

Count = Callable[[str], int]

GAP = "[…]"
FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
INLINE = re.compile(r"[\[\]{}`]|://")
INDENTED = re.compile(r"(?: {4}| {0,3}\t)\s*\S")
STRING = re.compile(r'"(?:\\.|[^"\\])*"')
BRACKET = re.compile(r"[\[\]{}]")
SPACES = re.compile(r"(?<=\S)(?:[ \t]{2,}|\t)(?=\S)")
HEADING = re.compile(r" {0,3}#{1,6}\s|\*\*[^*]+\*\*:?\s*$")
ITEM = re.compile(r" {0,3}(?:[-*+•]|\d{1,9}[.)])\s")
SENTENCE = re.compile(r"(?<=[.!?…])\s+(?=[^\W\d_]|[\"'“(])|(?<=[。！？])(?=\S)")
BREAK = re.compile(r"(?<=[^\d\s])\s+(?=[^\d\s])")
ORDERS = re.compile(
    r"\b(?:you (?:must|should|are|will)|always|never|do not|don't|please|answer|respond|reply|return|write"
    r"|use|keep|avoid|include|make sure|ensure|output|give|only|be)\b",
    re.IGNORECASE,
)
ORDER = re.compile(r"[\s>*+\-\d.)]{0,12}" + ORDERS.pattern, re.IGNORECASE)
WORDS_A_PIECE = 25
LONG_SENTENCE = 600
MIN_WORDS = 4
"""Words from which on a sentence or line that stands twice counts as said twice."""

FREE, WHOLE, CODE = 0, 1, 2
"""What may be done to a line: anything; kept or dropped whole; neither changed nor parted from its block."""


@dataclass(frozen=True, slots=True)
class Optimized:
    """The text, its tokens before and after, what was done, and whether it keeps the limit."""

    original: str
    text: str
    before: int
    after: int
    done: tuple[str, ...] = ()
    fits: bool = True

    def diff(self) -> str:
        """A unified diff of both texts, line by line; empty where nothing changed."""
        from difflib import unified_diff

        before, after = self.original.split("\n"), self.text.split("\n")
        return "\n".join(unified_diff(before, after, "before", "after", lineterm="", n=1))


def optimize(text: str, *, count: Count, max_tokens: int | None = None) -> Optimized:
    """The text in fewer tokens by `count`, cut to `max_tokens` where given. Never grows; stable."""
    before = count(text)
    shortest, done = settled(text)
    after = count(shortest)
    if after > before:
        shortest, after, done = text, before, []
    if max_tokens is not None and after > max_tokens:
        whole = shortest
        shortest, dropped = settled(cut(whole, max_tokens, count))[0], len(whole)
        after = count(shortest)
        if after > before:
            shortest, after = whole, count(whole)
        if len(shortest) < dropped:
            done = [*done, f"cut from the middle: {dropped - len(shortest):,} characters"]
    fits = max_tokens is None or after <= max_tokens
    return Optimized(text, shortest, before, after, tuple(done), fits)


def optimize_messages(
    messages: Sequence[Message], *, count: Count, max_tokens: int | None = None
) -> tuple[tuple[Message, ...], list[Optimized]]:
    """The messages, each text without loss, then the longest user text cut by what is too much."""
    places = [n for n, m in enumerate(messages) if isinstance(m.get("content"), str) and m["content"]]
    found = {n: optimize(messages[n]["content"], count=count) for n in places}
    excess = sum(o.after for o in found.values()) - (max_tokens or 0)
    users = [n for n in places if messages[n].get("role") == "user"]
    if max_tokens is not None and excess > 0 and users:
        longest = max(users, key=lambda n: found[n].after)
        left = max(found[longest].after - excess, 0)
        found[longest] = optimize(messages[longest]["content"], count=count, max_tokens=left)
    elif max_tokens is not None and excess > 0:
        found = {n: replace(o, fits=False) for n, o in found.items()}
    shorter = [{**m, "content": found[n].text} if n in found else m for n, m in enumerate(messages)]
    return tuple(shorter), [found[n] for n in places]


def settled(text: str) -> tuple[str, list[str]]:
    """The text without loss, repeated until nothing more changes, so that a second run finds nothing."""
    spaces = lines = 0
    while True:
        shorter, dropped = lossless(text)
        if shorter == text:
            break
        lines += dropped
        spaces += len(text) - len(shorter)
        text = shorter
    done = [f"white space and doubled lines: {spaces:,} characters"] if spaces else []
    return text, done + ([f"doubled lines: {lines:,}"] if lines else [])


def lossless(text: str) -> tuple[str, int]:
    """One pass: white space outside code, what is said twice; and how many sentences or lines went."""
    lines = text.split("\n")
    kept: list[str] = []
    said: set[str] = set()
    last: str | None = None
    dropped = 0
    for line, kind in zip(lines, kinds(lines), strict=True):
        if kind != FREE:
            kept.append(line)
            last = None
            continue
        line = SPACES.sub(" ", line).rstrip()
        if not line:
            if kept and kept[-1].strip():
                kept.append(line)
            continue
        shorter, gone = _without_said(line, last, said)
        dropped += gone
        if shorter:
            kept.append(shorter)
            last = shorter
    while kept and not kept[-1]:
        kept.pop()
    return "\n".join(kept), dropped


def _without_said(line: str, last: str | None, said: set[str]) -> tuple[str, int]:
    """The line without orders said before, and how many; "" where it repeats the line before it."""
    if line == last and line.count(" ") >= MIN_WORDS and not any(c.isdigit() for c in line):
        return "", 1
    if line.count(" ") < MIN_WORDS - 1 or not ORDERS.search(line) or HEADING.match(line):
        return line, 0
    kept: list[str] = []
    dropped = 0
    for sentence, space in _split(SENTENCE, line):
        key = sentence.strip(" -*+>.!\t").lower()
        repeated = key in said and key.count(" ") + 1 >= MIN_WORDS and ORDER.match(sentence)
        if repeated:
            dropped += 1
            continue
        said.add(key)
        kept += [sentence, space]
    return ("".join(kept).rstrip(), dropped) if dropped else (line, 0)


def kinds(lines: Sequence[str]) -> list[int]:
    """FREE, WHOLE or CODE for each line."""
    found = [FREE] * len(lines)
    fence = ""
    opened: list[int] = []
    ranges: list[tuple[int, int]] = []
    for number, line in enumerate(lines):
        mark = FENCE.match(line)
        if fence or mark:
            found[number] = CODE
            if mark and not fence:
                fence = mark[1]
            elif mark and mark[1].startswith(fence) and not line[mark.end() :].strip():
                fence = ""
            continue
        if INDENTED.match(line):
            found[number] = CODE
        elif INLINE.search(line):
            found[number] = WHOLE
        if found[number]:
            _match(line, number, opened, ranges)
    _fill(found, ranges)
    _fill(found, _blanks_in_code(lines, found))
    return found


def _match(line: str, number: int, opened: list[int], ranges: list[tuple[int, int]]) -> None:
    """Adds the lines between each bracket that this line closes and where it was opened, if elsewhere."""
    for bracket in BRACKET.findall(STRING.sub("", line)):
        if bracket in "[{":
            opened.append(number)
        elif opened and (start := opened.pop()) < number:
            ranges.append((start, number))


def _blanks_in_code(lines: Sequence[str], found: list[int]) -> list[tuple[int, int]]:
    """Blank lines between two lines of code: they are part of it."""
    ranges: list[tuple[int, int]] = []
    last: int | None = None
    for number, line in enumerate(lines):
        if line.strip():
            if last is not None and last < number - 1 and found[number] == found[last] == CODE:
                ranges.append((last, number))
            last = number
    return ranges


def _fill(found: list[int], ranges: list[tuple[int, int]]) -> None:
    """Marks all lines of the ranges as code, in one sweep however they are nested."""
    change = [0] * (len(found) + 1)
    for start, end in ranges:
        change[start] += 1
        change[end + 1] -= 1
    depth = 0
    for number in range(len(found)):
        depth += change[number]
        if depth:
            found[number] = CODE


@dataclass(slots=True)
class _Unit:
    """A piece that is kept or dropped whole; `rank` says in which round it may go."""

    text: str
    rank: int
    join: str = "\n"
    tokens: int = 0
    kept: bool = True


def cut(text: str, max_tokens: int, count: Count) -> str:
    """The text with pieces dropped until it holds at most `max_tokens`, or one piece is left."""
    units = _units(text)
    for unit in units:
        unit.tokens = max(count(unit.text), 1)
        unit.kept = unit.text != GAP  # of an earlier cut: it is written again where still due
    shortest = text
    # Pieces counted alone come to more than the whole.
    scale = sum(unit.tokens for unit in units) / max(count(text), 1)
    excess = (count(text) - max_tokens + count(GAP) + 1) * scale
    order = iter(_order(units))
    while excess > 0:
        dropped = False
        for unit in order:
            unit.kept, dropped = False, True
            excess -= unit.tokens
            if excess <= 0:
                break
        if not dropped:
            break
        shortest = _assemble(units)
        excess = (count(shortest) - max_tokens) * scale
    return shortest if len(shortest) < len(text) else text


def _order(units: list[_Unit]) -> list[_Unit]:
    """What goes first: by rank, and the middle before the ends. The last unit of all stays."""
    total = sum(unit.tokens for unit in units)
    depth: list[tuple[int, int, int]] = []
    seen = 0
    for number, unit in enumerate(units):
        middle = seen + unit.tokens // 2
        seen += unit.tokens
        depth.append((unit.rank, -min(middle, total - middle), number))
    prose = [number for number, unit in enumerate(units) if unit.rank == 0]
    for number in {prose[0], prose[-1]} if prose else ():
        depth[number] = (9, 0, number)
    return [units[number] for _, _, number in sorted(depth) if units[number].kept][:-1]


def _assemble(units: list[_Unit]) -> str:
    parts: list[str] = []
    gap = False
    for unit in units:
        if not unit.kept:
            gap = True
            continue
        if gap:
            parts.append(("\n" if parts else "") + GAP + "\n")
        parts += [unit.text, unit.join]
        gap = False
    if gap:
        parts.append("\n" + GAP)
    return "".join(parts).rstrip("\n")


def _units(text: str) -> list[_Unit]:
    """Headings, lists, code and data whole; prose by sentences."""
    units: list[_Unit] = []
    for kind, block, join in _blocks(text.split("\n")):
        joined = "\n".join(block)
        units += _sentences(joined) if kind == "prose" else [_Unit(joined, RANKS[kind])]
        units[-1].join = join
    return units


RANKS = {"line": 0, "list": 1, "code": 2, "heading": 3}


def _blocks(lines: list[str]) -> Iterator[tuple[str, list[str], str]]:
    """(kind, lines, what follows) of each run of lines of one kind."""
    block: list[str] = []
    before = ""
    for line, fixed in zip(lines, kinds(lines), strict=True):
        kind = _kind(line, fixed, before if block else "")
        if block and (kind != before or kind in ("heading", "line")):
            yield before, block, "\n" if kind else "\n\n"
            block = []
        if kind:
            block.append(line)
        before = kind
    if block:
        yield before, block, ""


def _kind(line: str, fixed: int, before: str) -> str:
    if fixed:
        return "code" if fixed == CODE else "line"
    if not line.strip():
        return ""
    if HEADING.match(line):
        return "heading"
    if ITEM.match(line) or (before == "list" and line[0].isspace()):
        return "list"
    return "prose"


def _sentences(text: str) -> list[_Unit]:
    """Sentences with what joined them; long ones in pieces, never between two numbers."""
    units: list[_Unit] = []
    for piece, join in _split(SENTENCE, text):
        if len(piece) <= LONG_SENTENCE:
            units.append(_Unit(piece, 0, join))
            continue
        words = _split(BREAK, piece)
        for start in range(0, len(words), WORDS_A_PIECE):
            some = words[start : start + WORDS_A_PIECE]
            inner = "".join(word + space for word, space in some[:-1]) + some[-1][0]
            units.append(_Unit(inner, 0, some[-1][1]))
        units[-1].join = join
    return units


def _split(pattern: re.Pattern[str], text: str) -> list[tuple[str, str]]:
    """(piece, what stands between it and the next)."""
    found: list[tuple[str, str]] = []
    start = 0
    for match in pattern.finditer(text):
        found.append((text[start : match.start()], match[0]))
        start = match.end()
    return [*found, (text[start:], "")]


def saved(results: Sequence[Optimized]) -> dict[str, Any]:
    """Tokens before and after over several texts, and all that was done."""
    return {
        "before": sum(result.before for result in results),
        "after": sum(result.after for result in results),
        "done": [done for result in results for done in result.done],
        "fits": all(result.fits for result in results),
    }
