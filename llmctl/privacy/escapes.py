"""Texts inside JSON strings: read as they are meant, their places told in the text as it stands.

In `{"note": "call\\n4155550132"}` the number stands behind an `n` that is none, and in
`bob\\u0040example.com` there is no `@`. JSON inside JSON is escaped more than once.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from llmctl.privacy.span import Span

DEPTH = 3
"""JSON inside JSON inside JSON is read; deeper nobody writes."""

_ESCAPE = re.compile(r"""\\(?:u[0-9a-fA-F]{4}|[nrtbf"'/\\])""")
_MEANT = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


class Unescaped:
    """`text` is the escaped text as it is meant; `of` gives a place in it in the escaped one."""

    def __init__(self, escaped: str) -> None:
        parts: list[str] = []
        self._here = [0]
        self._there = [0]
        done = size = 0
        for match in _ESCAPE.finditer(escaped):
            start, end = match.span()
            size += start - done + 1
            parts += (escaped[done:start], _meant(match[0]))
            self._here.append(size)
            self._there.append(end)
            done = end
        self.found = done > 0
        self.text = "".join((*parts, escaped[done:])) if parts else escaped

    def of(self, place: int) -> int:
        n = bisect_right(self._here, place) - 1
        return self._there[n] + place - self._here[n]


def _meant(escape: str) -> str:
    if escape[1] == "u":
        char = chr(int(escape[2:], 16))
        return char if char.isprintable() else " "
    return _MEANT.get(escape[1], escape[1])


def levels(text: str) -> Iterator[tuple[str, list[Unescaped]]]:
    """The text unescaped once, twice, … as long as there is something to unescape."""
    steps: list[Unescaped] = []
    while len(steps) < DEPTH and "\\" in text:
        step = Unescaped(text)
        if not step.found:
            return
        steps.append(step)
        text = step.text
        yield text, list(steps)


def outward(span: Span, steps: list[Unescaped], text: str) -> Span:
    """A span of the innermost text as one of `text`, the outermost."""
    start, end = span.start, span.end
    for step in reversed(steps):
        start, end = step.of(start), step.of(end)
    return Span(span.kind, start, end, text[start:end])
