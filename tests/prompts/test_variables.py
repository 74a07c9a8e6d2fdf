"""Variables: assignments, types, defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmctl.core.errors import ConfigError, UsageError
from llmctl.prompts.model import Kind, Template, TemplateError, Variable
from llmctl.prompts.variables import complete, convert, parse_assignments


def test_assignments_are_read_with_files(tmp_path: Path) -> None:
    """Long texts come from files, and a text may start with an @ all the same."""
    (tmp_path / "t.txt").write_text("long\ntext", encoding="utf-8")
    found = parse_assignments(["a=1=2", "b=@t.txt", "c=@@home", "d=", "a=3"], tmp_path)
    assert found == {"a": "3", "b": "long\ntext", "c": "@home", "d": ""}


def test_wrong_assignments_are_refused(tmp_path: Path) -> None:
    """A forgotten value or file must not become an empty prompt."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for item in ("name", "=x", "a-b=1"):
        with pytest.raises(UsageError):
            parse_assignments([item])
    for item in ("a=@missing", "a=@binary"):
        with pytest.raises(ConfigError) as caught:
            parse_assignments([item], tmp_path)
        assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("string", 5, "5"),
        ("number", "2.5", 2.5),
        ("number", "2", 2),
        ("integer", 3.0, 3),
        ("boolean", "Yes", True),
        ("boolean", False, False),
        ("json", '{"a": [1]}', {"a": [1]}),
        ("json", {"a": 1}, {"a": 1}),
        ("list", "a, b,c", ["a", "b", "c"]),
        ("list", "a, b\nc", ["a, b", "c"]),
        ("list", "[1, 2]", [1, 2]),
        ("list", ("x",), ["x"]),
        ("enum", "red", "red"),
    ],
)
def test_values_are_converted(kind: Kind, value: Any, expected: Any) -> None:
    """CSV cells and command lines hold texts only, JSON rows hold typed values: both must do."""
    assert convert(Variable("v", kind, values=("red", "blue")), value, "t") == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", {"a": 1}),
        ("number", "nan"),
        ("number", True),
        ("number", "x"),
        ("integer", "1.5"),
        ("boolean", "maybe"),
        ("json", "{"),
        ("list", 5),
        ("list", "[1"),
        ("enum", "green"),
    ],
)
def test_wrong_values_are_refused_with_the_name(kind: Kind, value: Any) -> None:
    """A wrong value in row 70,001 must say which variable it was."""
    with pytest.raises(TemplateError, match="the variable 'v': "):
        convert(Variable("v", kind, values=("red",)), value, "t")


def test_defaults_fill_what_is_missing_or_null() -> None:
    """A JSON null is no value; optional texts become empty, never the word None."""
    variables = {"a": Variable("a", default="x"), "b": Variable("b", required=False)}
    template = Template(name="t", source="t", body="", variables=variables)
    assert complete(template, {"a": None, "c": 1}) == {"a": "x", "b": "", "c": 1}
