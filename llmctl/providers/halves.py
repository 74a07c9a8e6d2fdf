"""Halves of signs: JSON can name one half of a sign alone (`\\ud83d`), which orjson refuses.

Servers that stream token by token cut emojis in two. What cannot be joined again is written out.
"""

from __future__ import annotations

import json
from typing import Any

from llmctl.core.canonical import clean


def loads(data: bytes) -> Any:
    """As orjson, but takes lone halves. ValueError where it is no JSON."""
    try:
        return json.loads(data, parse_constant=_refused)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refused(name: str) -> Any:
    raise ValueError(name)


def joined(text: str) -> str:
    """With each two halves of a sign made one again."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def whole(value: Any) -> Any:
    """A value of JSON without any lone halves."""
    if isinstance(value, str):
        return clean(joined(value))
    if isinstance(value, dict):
        return {whole(key): whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    return value


class Held:
    """Joins the pieces of a text: a first half at a piece's end waits for the next piece."""

    def __init__(self) -> None:
        self.half = ""

    def take(self, text: str) -> str:
        """The piece as it can be shown."""
        text, self.half = self.half + text, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self.half = text[:-1], text[-1]
        return clean(joined(text))
