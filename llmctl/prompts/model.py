"""What a template is: its head, its variables and its body, before anything is rendered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from llmctl.core.errors import ConfigError

Kind = Literal["string", "number", "integer", "boolean", "json", "list", "enum"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Syntax = Literal["jinja", "dollar"]


class TemplateError(ConfigError):
    """A template is wrong or cannot be rendered: the message starts with file and line."""

    type = "template"


class Missing:
    """Stands for "no default": None is a default of its own."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of a template; `values` are the choices of an enum."""

    name: str
    type: Kind = "string"
    default: Any = Missing
    help: str = ""
    required: bool = True
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExamplesRule:
    """Which examples a template brings: rows written in its head, or a file beside it."""

    file: Path | None = None
    rows: tuple[Mapping[str, Any], ...] = ()
    choose: str = "all"
    inside: bool = False
    """True: written into the system text, not sent as chat turns."""


@dataclass(frozen=True, slots=True)
class Template:
    """A named prompt. `body_line` and `system_line` are where these start in the file, counted from 1."""

    name: str
    source: str
    body: str
    body_line: int = 1
    path: Path | None = None
    description: str = ""
    system: str | None = None
    system_line: int = 1
    model: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Variable] = field(default_factory=dict)
    schema: Mapping[str, Any] | str | None = None
    """A JSON schema, or what `prompts.schema.load` reads: a file beside the template, a short form."""
    examples: ExamplesRule | None = None
    cot: bool = False
    checks: tuple[str, ...] = ()
    syntax: Syntax = "jinja"
    extract: Literal["first", "last"] | None = None
    """Which code block of an answer `run` shows; None: the whole answer."""

    @property
    def folder(self) -> Path:
        """What paths in the head are relative to."""
        return self.path.parent if self.path else Path()


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean …?` with the nearest name, else the names there are."""
    names = sorted(known)
    near = get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if names else ""
