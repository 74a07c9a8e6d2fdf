"""JSON read strictly, at the speed of a reader that is not.

Refused: what is not JSON (NaN and Infinity among it), a key that stands twice in one map, more
than MAX_DEPTH levels. Lone surrogates (`\\ud83d` alone) are kept, written out as those six
characters, since nothing downstream can encode them.
"""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

from llmctl.core.canonical import clean
from llmctl.core.errors import ConfigError

MAX_DEPTH = 200
BACKSLASH = 92
LOWEST_INTEGER, HIGHEST_INTEGER = -(2**63), 2**64 - 1


class Wrong(Exception):
    """One row's fault and its remedy, on its way to becoming a RowError."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


class RowError(ConfigError):
    """One row of a batch cannot be asked; the others can. `line` is its line in the file, from 1."""

    type = "row"

    def __init__(self, line: int, problem: str, hint: str = "") -> None:
        super().__init__(f"line {line}: {problem}", hint=hint)
        self.line = line
        self.problem = problem

    def __reduce__(self) -> tuple[Any, ...]:
        """Rows go to worker processes, their errors with them."""
        return RowError, (self.line, self.problem, self.hint)


def loads(data: bytes) -> Any:
    """The JSON value of `data`. Wrong says what is the matter.

    orjson keeps the last of two equal keys and says nothing, so colons are counted: every key that
    was read brought one. Where there are more colons than keys, the value written out again has as
    many as the input unless a key was dropped; an escaped colon would upset that sum.
    """
    try:
        value = orjson.loads(data)
    except ValueError:
        return careful(data)
    if len(data) > 2 * MAX_DEPTH and data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        refuse_depth(value)
    colons = data.count(b":")
    if value.__class__ is dict and colons == len(value):
        return value
    escaped = BACKSLASH in data and b"\\u003" in data
    if colons and (escaped or orjson.dumps(value).count(b":") != colons):
        return careful(data)
    return value


def careful(data: bytes) -> Any:
    """As `loads`, ten times slower: finds the fault's place, and takes lone surrogates.

    Integers beyond 64 bits are refused here, where orjson makes inexact floats of them.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_map,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except UnicodeDecodeError:
        raise Wrong("not UTF-8", "convert the file, for example with iconv") from None
    except json.JSONDecodeError as error:
        torn = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
        hint = "one JSON object a line" + ("; is this one cut off?" if torn else "")
        raise Wrong(f"not valid JSON: {error.msg} at column {error.colno}", hint) from None
    except RecursionError:
        raise _too_deep() from None
    refuse_depth(value)
    return _cleaned(value)


def as_written(data: bytes, key: str) -> Any:
    """The value of the top-level `key` with numbers as their text: 1.50 stays `1.50`."""
    return json.loads(data, parse_int=str, parse_float=str)[key]


def refuse_depth(value: Any) -> None:
    """Wrong where lists and maps stand in one another more than MAX_DEPTH levels deep."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> Wrong:
    return Wrong("nested too deeply", f"at most {MAX_DEPTH} levels of lists and maps")


def _map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        double = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Wrong(f"the key {clean(double)!r} stands twice in one map", "keep one")
    return found


def _integer(text: str) -> int:
    number = int(text) if len(text) <= 20 else HIGHEST_INTEGER + 1
    if not LOWEST_INTEGER <= number <= HIGHEST_INTEGER:
        raise Wrong(f"the integer {text[:24]} is beyond 64 bits", "write it as a text, in quotes")
    return number


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Wrong(f"the number {text[:24]} is too large", "write it as a text, in quotes")
    return number


def _constant(text: str) -> float:
    raise Wrong(f"{text} is not JSON", "write null, or leave the field out")


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _cleaned(child) for key, child in value.items()}
    return [_cleaned(child) for child in value] if isinstance(value, list) else value


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {dict: "a map", list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number")
