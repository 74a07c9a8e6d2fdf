"""What a command line hands over: prompts from arguments, files and stdin, and key=value pairs."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from llmctl.core.errors import ConfigError, UsageError
from llmctl.core.files import expanded
from llmctl.core.hidden import has_open_key, names_key
from llmctl.core.money import Nanos, to_nanos

MOST_USD = 1e9


def prompt_text(argument: str | None) -> str:
    """Piped stdin first, then a blank line, then the prompt; `-` is stdin alone, `@FILE` a file."""
    if argument == "-":
        return stdin_text()
    if argument is not None and argument.startswith("@"):
        argument = file_text(argument[1:])
    piped = stdin_text() if not _terminal() else ""
    if not piped.strip():
        return argument or ""
    return f"{piped.rstrip()}\n\n{argument}" if argument else piped


def _terminal() -> bool:
    return sys.stdin is None or sys.stdin.closed or sys.stdin.isatty()


def stdin_text() -> str:
    if sys.stdin is None:
        return ""
    return decoded(
        sys.stdin.buffer.read() if hasattr(sys.stdin, "buffer") else sys.stdin.read().encode(), "stdin"
    )


def file_text(name: str) -> str:
    try:
        data = expanded(name).read_bytes()
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}", hint="check the path") from None
    return decoded(data, name)


def decoded(data: bytes, name: str) -> str:
    """UTF-8, with or without a byte-order mark. ConfigError names the line that is not."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: not UTF-8", hint="convert it, for example with iconv") from None


def key_values(pairs: Iterable[str], option: str) -> Mapping[str, Any]:
    """`key=value` pairs; a value is JSON where it reads as JSON, else a text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        refuse_key(pair, option)
        if names_key(key.strip()) and value:
            raise open_key(f"{option} {key.strip()}")
        if not equals or not key.strip():
            raise UsageError(f"{option} {pair}: not key=value", hint=f"for example {option} temperature=0.2")
        found[key.strip()] = _value(value, f"{option} {pair}")
    return found


def refuse_key(text: str | None, option: str) -> None:
    """UsageError where an option's value holds a maker's key: other users see command lines."""
    if text and has_open_key(text):
        raise open_key(option)


def open_key(option: str) -> UsageError:
    return UsageError(
        f"{option}: a key is never written on the command line",
        hint="put it in the environment and name it in the profile: keys: [env:NAME]",
    )


def usd(text: str, option: str) -> Nanos:
    """An amount of money as nano-dollars. UsageError for what is none: NaN, infinite, negative."""
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not 0 <= amount <= MOST_USD:
        raise UsageError(f"{option} {text}: not an amount in USD", hint=f"for example {option} 0.50")
    return to_nanos(text.strip())


def _overflows(text: str) -> bool:
    """Whether a text is a number beyond all floats, such as 1e999, which JSON's readers refuse."""
    try:
        return math.isinf(float(text))
    except ValueError:
        return False


def _value(text: str, where: str) -> Any:
    if text.strip().lower().lstrip("+-") in ("nan", "inf", "infinity"):
        raise UsageError(f"{where}: not a finite number")
    try:
        value = orjson.loads(text)
    except ValueError:
        value = math.inf if _overflows(text) else text
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where}: not a finite number")
    return value
