"""Puts other words in the place of found ones: in texts, in JSON that stays JSON, in nested values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from llmctl.privacy.span import Span

Find = Callable[[str], list[Span]]
Name = Callable[[Span], str]

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][0-9.eE+-]*', re.DOTALL)
_COLON = re.compile(r"\s*:")


def rewrite(text: str, spans: Iterable[Span], name: Name) -> str:
    """The text with every span (in order, without overlaps) replaced by what `name` calls it."""
    parts: list[str] = []
    done = 0
    for span in spans:
        parts += (text[done : span.start], name(span))
        done = span.end
    if not parts:
        return text
    return "".join((*parts, text[done:]))


def is_json(text: str) -> bool:
    """Whether the whole text is a JSON object or array."""
    ends = text.strip()[:1] + text.strip()[-1:]
    if ends not in ("{}", "[]"):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def rewrite_json(text: str, find: Find, name: Name) -> str:
    """As `rewrite`, string by string, so that JSON stays JSON; each value is searched beside its key.

    A number that is found (a card, say) becomes a string. What is no JSON is rewritten as plain text.
    """
    if not is_json(text):
        return rewrite(text, find(text), name)
    key = ""

    def one(token: re.Match[str]) -> str:
        nonlocal key
        literal = token[0]
        quoted = literal[0] == '"'
        value = json.loads(literal) if quoted else literal
        if quoted and _COLON.match(text, token.end()):
            key = value
            changed = rewrite(value, find(value), name)
        elif quoted:
            changed = rewrite(value, beside(key, value, find), name)
        else:
            found = beside(key, value, find) if len(value) > 6 else []
            changed = name(found[0]._replace(start=0, end=len(value), value=value)) if found else value
        return literal if changed == value else json.dumps(changed, ensure_ascii=False)

    return _TOKEN.sub(one, text)


def beside(key: str, value: str, find: Find) -> list[Span]:
    """The spans of `value`, read as `key: value`: what it is called tells what it is."""
    shift = len(key) + 2
    spans = []
    for span in find(f"{key}: {value}"):
        if span.end > shift:
            start = max(span.start, shift) - shift
            spans.append(Span(span.kind, start, span.end - shift, value[start : span.end - shift]))
    return spans


def map_strings(value: Any, change: Callable[[str], str], change_json: Callable[[str], str]) -> Any:
    """The value with every string in it changed; strings under `arguments` are JSON of their own.

    The same object comes back where nothing changed.
    """
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        mapped = {
            key: change_json(item)
            if key == "arguments" and isinstance(item, str)
            else map_strings(item, change, change_json)
            for key, item in value.items()
        }
        return value if all(mapped[key] is value[key] for key in value) else mapped
    if isinstance(value, list | tuple):
        items = [map_strings(item, change, change_json) for item in value]
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else type(value)(items)
    return value
