"""Template files: finding, reading, checking; the shipped ones."""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path

import pytest

from llmctl.core.errors import ConfigError
from llmctl.prompts.model import Missing, TemplateError, Variable
from llmctl.prompts.render import Renderer
from llmctl.prompts.schema import load as load_schema
from llmctl.prompts.templates import Folders, load, read

FULL = """---
name: full
description: all keys
system: Be brief.
model: openai/gpt-4o-mini
params: {temperature: 0}
variables:
  a: {type: integer, default: 3, help: how many}
  b: {values: [x, y]}
  c:
  d: short
schema: {type: object}
examples: {file: shots.jsonl, choose: "first:2", inside: true}
cot: true
checks: [secret]
---
{{ a }} {{ b }} {{ c }} {{ d }}
"""


def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "project", tmp_path / "user")


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_is_read(tmp_path: Path) -> None:
    """A template says in one file all that a prompt needs."""
    template = read(put(tmp_path / "full.md", FULL))
    assert template.params == {"temperature": 0}
    assert template.variables == {
        "a": Variable("a", "integer", 3, "how many", required=False),
        "b": Variable("b", "enum", Missing, values=("x", "y")),
        "c": Variable("c"),
        "d": Variable("d", default="short", required=False),
    }
    assert template.examples is not None
    assert template.examples.file == tmp_path / "shots.jsonl"
    assert (template.cot, template.checks, template.body_line) == (True, ("secret",), 17)
    assert Renderer(template).messages({"b": "x", "c": "z"})[1]["content"] == "3 x z short"


def test_a_file_without_a_head_is_all_body(tmp_path: Path) -> None:
    """The first template anybody writes is a text file."""
    template = read(put(tmp_path / "plain.md", "Say {{ x }}.\n\n---\n\nend\n"))
    assert (template.name, template.body_line) == ("plain", 1)
    assert Renderer(template).messages({"x": "hi"})[0]["content"] == "Say hi.\n\n---\n\nend"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("---\nnmae: x\n---\nhi", r"t\.md:2: nmae: unknown key"),
        ("---\nname: x\n", r"t\.md:1: the head does not end"),
        ("---\nname: [1]\n---\n", r"t\.md:2: name: a text is wanted"),
        ("---\nname: a\nname: b\n---\n", r"t\.md:3: the key 'name' stands here again"),
        ("---\nvariables: {a: {type: txt}}\n---\n", r"t\.md:2: variables\.a\.type: 'txt' is no type"),
        (
            "---\nvariables:\n  a: {type: integer, default: x}\n---\n",
            r"t\.md:3: variables\.a\.default: .*whole",
        ),
        ("---\nvariables: {a-b: 1}\n---\n", r"t\.md:2: variables\.a-b: not a name"),
        ("---\nexamples: [{input: a}]\n---\n", r"t\.md:2: examples\[0\]: input and output"),
        ("---\nsystem: !!python/object:os.system x\n---\n", r"t\.md:2: the tag"),
        ("---\ncot: maybe\n---\n", r"t\.md:2: cot: true or false"),
    ],
)
def test_a_wrong_head_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    """A slip in a head must be found where it stands."""
    with pytest.raises(TemplateError, match=message) as caught:
        read(put(tmp_path / "t.md", text), "t.md")
    assert caught.value.exit_code == 3


ODD = (
    "5|1.5|true|null|text|''|[]|[1]|{}|{a: 1}|[{a: 1}]|[[1]]|2024-01-01|.nan|{1: 2}|{a: {b: {c: 1}}}|[null]"
    "|{a: null}|!!binary aGk=|&x [*x]|{input: a, output: b}|[{input: a}]|{file: x, choose: 5}"
    "|{a: {type: enum}}|{a: {type: enum, values: 5}}|{a: {values: [1], default: 3}}"
    "|{a: {type: integer, default: x}}|{a: {type: json, default: '{'}}|{a: {required: 5}}|{a: {help: 5}}"
)
HEADS = {
    ".md": "name description system model params variables schema examples cot checks",
    ".yaml": "name prompt system model defaults options schema_object extract extract_last tools",
    ".prompty": "name description model inputs sample template",
}


@pytest.mark.parametrize("ending", HEADS)
def test_no_head_is_a_bug_of_ours(tmp_path: Path, ending: str) -> None:
    """Whatever stands where, it is a template or an error with a place: never a traceback."""
    path = tmp_path / f"t{ending}"
    outcomes = Counter[str]()
    for key, value in product(HEADS[ending].split(), ODD.split("|")):
        head = f"{key}: {value}\n"
        put(path, head if ending == ".yaml" else f"---\n{head}---\nHi {{{{ a }}}}")
        try:
            template = read(path)
            if template.schema is not None:
                load_schema(template.schema, folder=tmp_path)
            Renderer(template).messages({"a": 5, "input": "x"})
        except ConfigError as error:
            assert error.message
            outcomes["refused"] += 1
        else:
            outcomes["taken"] += 1
    assert min(outcomes["refused"], outcomes["taken"]) > 20


def test_the_project_wins_over_the_user_over_the_package(tmp_path: Path) -> None:
    """A team overrides a shipped template by a file of the same name."""
    places = folders(tmp_path)
    assert load("summarise", places).source == "built-in summarise.md"
    put(places.folder(1) / "summarise.md", "user")
    assert load("summarise", places).body == "user"
    put(places.folder(2) / "summarise.md", "project")
    assert load("summarise", places).source == "prompts/summarise.md"
    assert [level for name, _, level in places.all() if name == "summarise"] == [
        "project",
        "user",
        "built-in",
    ]


def test_an_unknown_name_gets_a_suggestion(tmp_path: Path) -> None:
    """A typing slip in -t must not need a look into folders."""
    with pytest.raises(TemplateError) as caught:
        load("sumarise", folders(tmp_path))
    assert caught.value.hint == "did you mean 'summarise'?"
    with pytest.raises(TemplateError, match="cannot be read"):
        load(str(tmp_path / "none.md"), folders(tmp_path))


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    """A picture or a dump given as a template must not be sent."""
    path = tmp_path / "t.md"
    path.write_bytes(b"ok\n\xff\xfe")
    with pytest.raises(TemplateError, match=":2: not UTF-8"):
        read(path)
    path.write_bytes(b"a" * 1_000_001)
    with pytest.raises(TemplateError, match="larger than"):
        read(path)


@pytest.mark.parametrize(
    "name", ["content-analysis", "summarise", "classify", "extract", "translate", "chain-of-thought"]
)
def test_shipped_templates_render(tmp_path: Path, name: str) -> None:
    """What ships must work with a text alone."""
    template = load(name, folders(tmp_path))
    renderer = Renderer(template)
    assert renderer.prompt_variable([]) == "content"
    assert template.description
    assert renderer.names == set(template.variables)
    assert "the text <|x|>" in renderer.messages({"content": "the text <|x|>"}, extra=False)[-1]["content"]


def test_content_analysis_has_its_fields(tmp_path: Path) -> None:
    """Its answer's fields and their bounds are a promise."""
    template = load("content-analysis", folders(tmp_path))
    assert template.variables["analysis_type"].default == "comprehensive"
    assert isinstance(template.schema, dict)
    bounds = {
        name: (rule.get("minimum"), rule.get("maximum"))
        for name, rule in template.schema["properties"].items()
    }
    assert bounds == {
        "readability_score": (0, 1),
        "sentiment_score": (-1, 1),
        "complexity_score": (0, 1),
        "key_themes": (None, None),
        "overall_quality": (0, 1),
        "confidence": (0, 1),
    }
    assert template.schema["required"] == list(bounds)
