"""Code blocks in an answer."""

from __future__ import annotations

import re
from typing import Literal

OPENING = re.compile(r"^ {0,3}(`{3,}|~{3,})[^`\n]*$", re.MULTILINE)


def code_block(text: str, which: Literal["first", "last"] = "first") -> str:
    """What stands in the first or last fenced block; the whole text where there is none.

    A block whose end is missing goes to the end of the text, as CommonMark has it.
    """
    found, end = text, 0
    while opened := OPENING.search(text, end):
        start = opened.end() + 1
        fence = opened[1]
        closing = re.compile(rf"^ {{0,3}}{fence[0]}{{{len(fence)},}}[ \t]*$", re.MULTILINE)
        closed = closing.search(text, start)
        found = text[start : closed.start() if closed else len(text)]
        if which == "first" or closed is None:
            break
        end = closed.end()
    return found
