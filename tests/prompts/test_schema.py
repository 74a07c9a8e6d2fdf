"""Schemas: every way to write one, and the bounds of hostile ones."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from llmctl.prompts.schema import SchemaError, load, mismatches
from llmctl.prompts.templates import Folders
from llmctl.prompts.templates import load as template

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def test_the_short_form_is_read() -> None:
    """A schema for a quick question fits on a command line."""
    assert load("name, age int, score float, ok bool, tags list, bio: a short text") == {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer"},
            "score": {"type": "number"},
            "ok": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "bio": {"type": "string", "description": "a short text"},
        },
        "required": ["name", "age", "score", "ok", "tags", "bio"],
    }
    assert list(load("bio:text, day: as dd/mm", classes=True)["properties"]) == ["bio", "day"]
    assert list(load("name: first, last\nage int: in years")["properties"]) == ["name", "age"]


def test_files_and_inline_json_are_read(tmp_path: Path) -> None:
    """A schema is kept where the project keeps it."""
    (tmp_path / "a.json").write_text(json.dumps(PERSON), encoding="utf-8")
    (tmp_path / "a.yaml").write_text("type: object\nrequired: [x]\n", encoding="utf-8")
    assert load("a.json", folder=tmp_path) == load(json.dumps(PERSON)) == load(PERSON) == PERSON
    assert load("a.yaml", folder=tmp_path) == {"type": "object", "required": ["x"]}
    (tmp_path / "form").write_text(json.dumps(PERSON), encoding="utf-8")
    assert load("./form", folder=tmp_path) == PERSON


def test_a_class_is_imported_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A template from a stranger must not run code by naming a class."""
    code = "from pydantic import BaseModel\n\nclass Person(BaseModel):\n    name: str\n    age: int = 0\n"
    code += "\nclass Outer:\n    class Inner(BaseModel):\n        x: int\n"
    (tmp_path / "shapes_for_a_test.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SchemaError, match="cannot import a class"):
        load("shapes_for_a_test:Person")
    before = list(sys.path)
    assert load("shapes_for_a_test:Person", classes=True)["required"] == ["name"]
    assert load("shapes_for_a_test.Person", classes=True)["required"] == ["name"]
    assert load("shapes_for_a_test:Outer.Inner", classes=True)["required"] == ["x"]
    assert sys.path == before
    with pytest.raises(SchemaError, match="no_such_module"):
        load("no_such_module:Person", classes=True)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "is empty"),
        ("name, age integr", "'age integr' is no field"),
        ("a b c", "'a b c' is no field"),
        ("{", "not JSON"),
        ('{"type": "objekt"}', r"not a JSON schema at \$\.type"),
        ("missing.json", "cannot be read"),
        ({"$ref": "https://example.com/x.json"}, "leaves the schema"),
        ({"properties": {"a": {"$ref": "other.json"}}}, "leaves the schema"),
        ({"pattern": "("}, "is no pattern"),
        ({"patternProperties": {"a": {}}, "unevaluatedProperties": False}, "not supported"),
    ],
)
def test_wrong_schemas_are_refused(spec: Any, message: str, tmp_path: Path) -> None:
    """A wrong schema must be found before the first call is paid."""
    with pytest.raises(SchemaError, match=message) as caught:
        load(spec, folder=tmp_path)
    assert caught.value.exit_code == 3


def test_mismatches_name_paths_and_never_values() -> None:
    """The model needs the place; logs must not hold what people wrote."""
    assert mismatches({"name": "Ada", "age": 36}, PERSON) == []
    found = mismatches({"name": 5, "age": -1, "ssn": "secret-value"}, PERSON)
    assert sorted(found) == [
        "$.age: is below the minimum 0",
        "$.name: must be of type string",
        "$: has unknown fields: 'ssn'",
    ]
    assert mismatches({}, PERSON) == ["$: misses 'name', 'age'"]
    assert mismatches([{"a": 1}], {"items": {"properties": {"a": {"enum": ["x"]}}}}) == [
        '$[0].a: must be one of ["x"]'
    ]
    many = mismatches(["secret-value"] * 100, {"items": {"type": "number"}})
    assert many[-1] == "and more"
    assert len(many) == 6
    assert "secret-value" not in str(many + found)


def test_bounds_that_grammars_ignore_are_checked() -> None:
    """Providers' grammars let 1.5 pass where the schema says at most 1."""
    schema = template("content-analysis", Folders(Path(), Path())).schema
    assert isinstance(schema, dict)
    answer: dict[str, Any] = dict.fromkeys(schema["required"], 0.5)
    answer["key_themes"] = ["a"]
    assert mismatches(answer, load(schema)) == []
    assert mismatches({**answer, "confidence": 1.5}, schema) == ["$.confidence: is above the maximum 1"]
    assert mismatches({**answer, "sentiment_score": -1}, schema) == []


def test_own_keywords_follow_the_standard() -> None:
    """The bounded keywords must judge as the standard's own do."""
    named = {"properties": {"a": {}}, "patternProperties": {"^x_": {"type": "integer"}}}
    closed = {**named, "additionalProperties": False}
    assert mismatches({"a": 1, "x_1": 2}, closed) == []
    assert mismatches({"x_1": "no"}, closed) == ["$.x_1: must be of type integer"]
    assert mismatches({"b": 1}, closed) == ["$: has unknown fields: 'b'"]
    assert mismatches({"b": 1}, {**named, "additionalProperties": {"type": "string"}}) == [
        "$.b: must be of type string"
    ]
    unique = {"uniqueItems": True}
    assert mismatches([1, True, "1", [1], {"a": 1}], unique) == []
    assert mismatches([{"a": 1, "b": 2}, {"b": 2.0, "a": 1.0}], unique) == ["$: has the same item twice"]
    assert mismatches("abc", {"pattern": "^b"}) == ["$: does not match the pattern ^b"]
    assert mismatches(5, {"pattern": "^b"}) == []


def test_references_inside_the_schema_work() -> None:
    """Pydantic writes every nested class as a reference, and trees refer to themselves."""
    tree = {
        "$defs": {"node": {"properties": {"kids": {"items": {"$ref": "#/$defs/node"}}}, "required": ["n"]}},
        "$ref": "#/$defs/node",
    }
    assert mismatches({"n": 1, "kids": [{"n": 2}]}, load(tree)) == []
    assert mismatches({"n": 1, "kids": [{}]}, tree) == ["$.kids[0]: misses 'n'"]


DOUBLING: dict[str, Any] = {"a0": {"type": "object"}} | {
    f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n - 1}"}] * 2} for n in range(1, 40)
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "^(a|a)*$"}, "a" * 40 + "b"),
        ({"patternProperties": {"(a|a)*$": {}}, "additionalProperties": False}, {"a" * 40 + "b": 1}),
        ({"$ref": "#"}, 1),
        ({"$defs": DOUBLING, "$ref": "#/$defs/a39"}, {}),
    ],
)
def test_hostile_schemas_end(schema: dict[str, Any], value: Any) -> None:
    """A schema that never finishes would hold a whole batch."""
    started = time.process_time()
    with pytest.raises(SchemaError):
        mismatches(value, load(schema))
    assert time.process_time() - started < 10


def test_deep_and_large_schemas_are_refused() -> None:
    """Nesting must not end in a crash of the interpreter."""
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"items": deep}
    with pytest.raises(SchemaError, match="too large"):
        load(deep)
    with pytest.raises(SchemaError, match="too large"):
        load({"enum": list(range(30_000))})
