"""The values of a template's variables: `-V` arguments, types, defaults."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from llmctl.core.errors import ConfigError, UsageError
from llmctl.core.files import expanded
from llmctl.prompts.model import Missing, Template, TemplateError, Variable, nearest

MAX_VALUE_BYTES = 10_000_000
YES = frozenset(["true", "yes", "on", "1"])
NO = frozenset(["false", "no", "off", "0"])
EMPTY: Mapping[str, Any] = {"string": "", "list": ()}


def parse_assignments(items: Iterable[str], folder: Path | None = None) -> dict[str, str]:
    """`key=value` and `key=@file` (`@@` for a text that starts with @) as a map; the last of a key wins.

    UsageError for what is no assignment, ConfigError for a file that cannot be read as UTF-8 text.
    """
    found = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError(f"-V {item!r}: write name=value or name=@file")
        if value.startswith("@@"):
            value = value[1:]
        elif value.startswith("@"):
            value = _file((folder or Path()) / expanded(value[1:]), key)
        found[key] = value
    return found


def _file(path: Path, key: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_VALUE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"-V {key}: {path}: {error.strerror}", hint="check the path") from None
    if len(data) > MAX_VALUE_BYTES:
        raise ConfigError(
            f"-V {key}: {path}: larger than {MAX_VALUE_BYTES:,} bytes", hint="give a smaller file"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"-V {key}: {path}: not UTF-8 text", hint="save the file as UTF-8") from None


def complete(
    template: Template, given: Mapping[str, Any], used: Collection[str] | None = None
) -> dict[str, Any]:
    """The given values converted to their types, with defaults; a null counts as not given.

    With `used` (the names that the body uses), a value that is neither used nor declared is an error.
    """
    values = dict(given)
    if used is not None:
        for name in values:
            if name not in used and name not in template.variables:
                hint = nearest(name, set(template.variables) | set(used))
                raise TemplateError(f"{template.source}: there is no variable {name!r}", hint=hint)
    for name, variable in template.variables.items():
        value = values.get(name)
        if value is None:
            values[name] = _default(template, variable)
        elif not (variable.type == "string" and isinstance(value, str)):
            values[name] = convert(variable, value, template.source)
    return values


def _default(template: Template, variable: Variable) -> Any:
    if variable.default is not Missing:
        return variable.default
    if variable.required:
        help_ = f" ({variable.help})" if variable.help else ""
        raise TemplateError(
            f"{template.source}: the variable {variable.name!r}{help_} is not given",
            hint=f"-V {variable.name}=… or -V {variable.name}=@FILE",
        )
    return EMPTY.get(variable.type)


def convert(variable: Variable, value: Any, source: str) -> Any:
    """A value from a command line, a CSV cell or a JSON row as the variable's type."""
    try:
        return CONVERTERS[variable.type](variable, value)
    except (ValueError, TypeError, OverflowError) as error:
        problem = (
            str(error) if isinstance(error, _Wrong) else f"not {ARTICLES[variable.type]}: {_shown(value)}"
        )
        raise TemplateError(
            f"{source}: the variable {variable.name!r}: {problem}", hint=variable.help
        ) from None


class _Wrong(ValueError):
    """A conversion failed and its message is fit to be shown."""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _string(variable: Variable, value: Any) -> str:
    if isinstance(value, dict | list):
        raise TypeError
    return str(value)


def _number(variable: Variable, value: Any) -> float | int:
    if isinstance(value, bool):
        raise TypeError
    number = value if isinstance(value, int | float) else float(value)
    if not math.isfinite(number):
        raise _Wrong(f"not a finite number: {_shown(value)}")
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _integer(variable: Variable, value: Any) -> int:
    number = _number(variable, value)
    if not isinstance(number, int):
        raise TypeError
    return number


def _boolean(variable: Variable, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in YES | NO:
        raise ValueError
    return word in YES


def _json(variable: Variable, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    import orjson

    return orjson.loads(value)


def _list(variable: Variable, value: Any) -> list[Any]:
    """A JSON list, else items separated by line breaks, else by commas."""
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, str):
        raise TypeError
    if value.lstrip().startswith("["):
        items = _json(variable, value)
        return list(items)
    parts = value.split("\n") if "\n" in value else value.split(",")
    return [part.strip() for part in parts if part.strip()]


def _enum(variable: Variable, value: Any) -> str:
    if str(value) not in variable.values:
        raise _Wrong(f"{_shown(value)} is not one of: {', '.join(variable.values)}")
    return str(value)


CONVERTERS: dict[str, Callable[[Variable, Any], Any]] = {
    "string": _string,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "json": _json,
    "list": _list,
    "enum": _enum,
}
ARTICLES = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "json": "JSON",
    "list": "a list",
    "enum": "one of the choices",
}
