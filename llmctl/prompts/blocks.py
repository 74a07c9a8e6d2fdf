"""Code blocks in an answer."""

from __future__ import annotations

import re

OPENING = re.compile(r"^ {0,3}(`{3,}|~{3,})[^`\n]*$", re.MULTILINE)


def first_block(text: str) -> str:
    """What stands in the first fenced block; the whole text where there is none.

    A block whose end is missing goes to the end of the text, as CommonMark has it.
    """
    opened = OPENING.search(text)
    if opened is None:
        return text
    start = opened.end() + 1
    fence = opened[1]
    closed = re.compile(rf"^ {{0,3}}{fence[0]}{{{len(fence)},}}[ \t]*$", re.MULTILINE).search(text, start)
    return text[start : closed.start() if closed else len(text)]
