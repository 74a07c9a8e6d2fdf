"""Answers held against a schema: read, mended where the JSON is broken, asked for again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, NoReturn

from llmctl.core.errors import SchemaMismatch
from llmctl.core.model import Message, Request
from llmctl.prompts.reasoning import append_text, split
from llmctl.prompts.schema import SchemaError, mismatches

MAX_MENDED = 500_000
"""Characters up to which broken JSON is mended: json-repair reads character by character."""
MAX_QUOTED = 8_000
MAX_TRIES = 20
BRACKET = re.compile(r"[\[{]")
FENCE = re.compile(r"```[ \t]*(?:(?:json|JSON)[ \t]*)?\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Parsed:
    """The value of an answer, whether its JSON had to be mended, and what to tell the user."""

    value: Any
    mended: bool = False
    warnings: tuple[str, ...] = ()

    def shown(self, text: str) -> str:
        return as_json(text, self.value)


class Mismatch(SchemaMismatch):
    """An answer that does not fit; `errors` lists why, with JSON paths and without the values."""

    def __init__(self, errors: Sequence[str], hint: str = "") -> None:
        super().__init__(f"the answer does not fit the schema: {'; '.join(errors)}", hint=hint)
        self.errors = tuple(errors)


def validate(text: str, schema: Mapping[str, Any], *, cut: bool = False) -> Parsed:
    """The answer's value, checked against the schema. Mismatch (exit 8) where it does not fit.

    Fences, prose around the JSON and small faults in it are mended and told. With `cut` (the answer
    ended at its token limit) nothing is mended: what is missing would be invented.
    """
    value, complete = _loads(text.strip())
    if complete:
        return _fitting(value, schema)
    text = split(text)[1]
    found: list[str] = []
    for value, whole in _candidates(text):
        errors = mismatches(value, schema)
        if not errors:
            told = () if whole else ("text around the JSON was left out",)
            return Parsed(value, mended=not whole, warnings=told)
        found = found or errors
    if cut:
        raise Mismatch(["it was cut off at its token limit"], "raise max_tokens")
    mended = _mend(text)
    if mended is None:
        raise Mismatch(found or ["it holds no JSON"])
    errors = mismatches(mended, schema)
    if errors:
        raise Mismatch(found or errors)
    return Parsed(mended, mended=True, warnings=("the answer's JSON was broken and has been mended",))


def as_json(text: str, value: Any) -> str:
    """What a reader of JSON is given of an answer: as it came, or its mended value."""
    return text if _loads(text.strip())[1] else json.dumps(value, ensure_ascii=False)


def _fitting(value: Any, schema: Mapping[str, Any]) -> Parsed:
    errors = mismatches(value, schema)
    if errors:
        raise Mismatch(errors)
    return Parsed(value)


def _loads(text: str) -> tuple[Any, bool]:
    """(value, True) of strict JSON, without NaN and infinities; (None, False) for anything else."""
    try:
        return sound(json.loads(text, parse_constant=_refuse, parse_float=_finite)), True
    except (ValueError, RecursionError):
        return None, False


def sound(value: Any) -> Any:
    """The value as every reader takes it. ValueError where it is nested too deeply for that.

    Whole numbers of more than 64 bits become floating ones, as JavaScript has them, and halves of signs,
    which no UTF-8 has, become U+FFFD.
    """
    import orjson

    try:
        orjson.dumps(value)
    except TypeError:
        value = _sound(value)
        try:
            orjson.dumps(value)
        except TypeError as error:
            raise ValueError(str(error)) from None
    return value


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {_sound(key): _sound(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_sound(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        try:
            return float(value)
        except OverflowError:
            raise ValueError("a number beyond all others") from None
    return value


def _finite(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else _refuse(text)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _candidates(text: str) -> Iterator[tuple[Any, bool]]:
    """(value, was it all) of the JSON values in a text: fenced ones first, then by their brackets."""
    value, complete = _loads(text)
    if complete:
        yield value, True
    for match in FENCE.finditer(text):
        value, complete = _loads(match[1].strip())
        if complete:
            yield value, False
    decoder = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
    position = 0
    for _ in range(MAX_TRIES):
        bracket = BRACKET.search(text, position)
        if bracket is None:
            return
        try:
            value, position = decoder.raw_decode(text, bracket.start())
            yield sound(value), False
        except (ValueError, RecursionError):
            position = bracket.end()


def _mend(text: str) -> Any:
    """What json-repair makes of the JSON in a text; None where there is none to be seen."""
    match = FENCE.search(text)
    text = match[1] if match else text
    start = min((n for n in (text.find("{"), text.find("[")) if n >= 0), default=-1)
    if start < 0 or len(text) - start > MAX_MENDED:
        return None
    import json_repair

    try:
        value = sound(json_repair.loads(text[start:], skip_json_loads=True))
        json.dumps(value, allow_nan=False)  # it takes 1e400 for a number
    except (RecursionError, ValueError):
        return None
    return value if isinstance(value, dict | list) else None


def ask_again(messages: Sequence[Message], answer: str, errors: Sequence[str]) -> tuple[Message, ...]:
    """The messages of a second try: the answer that did not fit, and why."""
    quoted = answer if len(answer) <= MAX_QUOTED else f"{answer[:MAX_QUOTED]}…"
    listed = "\n".join(f"- {error}" for error in errors)
    told = f"That answer does not fit the JSON schema:\n{listed}\nSend the whole answer again, as JSON alone."
    return (*messages, {"role": "assistant", "content": quoted}, {"role": "user", "content": told})


def in_text(messages: Sequence[Message], schema: Mapping[str, Any], cot: bool = False) -> tuple[Message, ...]:
    """The messages with the schema as a text at the end of the last user turn; with `cot` after the steps."""
    written = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    order = "The final answer is JSON alone" if cot else "Answer with JSON alone"
    told = f"{order}, matching this JSON schema:\n{written}"
    changed = list(messages)
    for number in range(len(changed) - 1, -1, -1):
        if changed[number].get("role") == "user":
            changed[number] = append_text(changed[number], told)
            return tuple(changed)
    return (*messages, {"role": "user", "content": told})


@dataclass(frozen=True, slots=True)
class Answers:
    """All that the stage `schema` needs; `native` says whether a request's model takes a schema itself."""

    native: Callable[[Request], bool]

    def ready(self, request: Request) -> Request:
        """The request as it goes out: with its schema, or with the schema in its text."""
        from dataclasses import replace

        if request.schema is None or self.native(request):
            return request
        messages = in_text(request.messages, request.schema, request.cot)
        return replace(request, messages=messages, schema=None, fingerprint="")  # another question by now

    def validate(self, text: str, schema: Mapping[str, Any], cut: bool) -> Parsed:
        return validate(text, schema, cut=cut)

    def ask_again(
        self, messages: Sequence[Message], answer: str, error: SchemaMismatch
    ) -> tuple[Message, ...]:
        errors = error.errors if isinstance(error, Mismatch) else (error.message,)
        return ask_again(messages, answer, errors)


__all__ = ["Answers", "Mismatch", "Parsed", "SchemaError", "ask_again", "in_text", "validate"]
