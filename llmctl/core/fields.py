"""How the keys of a profile are declared: a rule for each, made by the function of its kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "number", "flag", "text", "choice", "texts", "values", "money", "duration", "amount",
    "section", "table", "rows",
]  # fmt: skip


@dataclass(slots=True, eq=False, repr=False)
class Rule:
    """How one key is read: its kind, bounds, and whether `null` is a value of its own."""

    kind: Kind
    low: float | None = None
    high: float | None = None
    whole: bool = False
    null: bool = False
    choices: tuple[str, ...] = ()
    of: type | None = None
    short: str | None = None
    """The key that a bare scalar stands for, where a section may be written as one."""
    required: bool = False
    reference: bool = False
    """Whether a text has to say where a secret is, and may not be one."""
    zone: bool = False
    """Whether a text has to be a time zone's name."""


def _field(default: Any, rule: Rule) -> Any:
    if isinstance(default, dict | list):
        return field(default_factory=default.copy, metadata={"rule": rule})
    return field(default=default, metadata={"rule": rule})


def number(default: float | None, low: float = 0, high: float | None = None, **more: Any) -> Any:
    return _field(default, Rule("number", low, high, null=default is None, **more))


def whole(default: int | None, low: float = 0, high: float | None = None) -> Any:
    return number(default, low, high, whole=True)


def flag(default: bool) -> Any:
    return _field(default, Rule("flag"))


def switch() -> Any:
    """True, false, or null for: it depends."""
    return _field(None, Rule("flag", null=True))


def text(default: str | None, **more: Any) -> Any:
    return _field(default, Rule("text", null=default is None, **more))


def choice(default: str, *choices: str, required: bool = False) -> Any:
    return _field(default, Rule("choice", choices=choices, required=required))


def texts(*default: str, choices: tuple[str, ...] = ()) -> Any:
    return _field(default, Rule("texts", choices=choices))


def values() -> Any:
    """A map of any JSON values, such as model parameters."""
    return _field({}, Rule("values"))


def money(default: float | None, **more: Any) -> Any:
    """USD, kept as integer nano-dollars."""
    return _field(default, Rule("money", 0, null=default is None, **more))


def duration(default: float | None) -> Any:
    """Seconds, or a text such as `15m`, `2h`, `7d`."""
    return _field(default, Rule("duration", 0, null=default is None))


def amount(default: float | None) -> Any:
    """A number; where it counts seconds also a text such as `15m`."""
    return _field(default, Rule("amount", 0, null=default is None))


def reference() -> Any:
    """Where a secret is: `env:NAME`, `file:PATH`, `cmd:COMMAND`, `keyring:SERVICE/NAME`."""
    return _field(None, Rule("text", null=True, reference=True))


def section(of: type, short: str | None = None) -> Any:
    return field(default_factory=of, metadata={"rule": Rule("section", of=of, short=short)})


def table(of: type, short: str | None = None) -> Any:
    return _field({}, Rule("table", of=of, short=short))


def rows(of: type, short: str | None = None) -> Any:
    return _field((), Rule("rows", of=of, short=short))
