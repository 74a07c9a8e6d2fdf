"""Recipes from wishes: what joins a prompt, in which order, within which bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmctl.ask import Ask, asked, compose
from llmctl.core.errors import ConfigError, UsageError
from llmctl.core.model import Request
from llmctl.services import Services
from llmctl.wish import Wish, prepare

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


class Home:
    """A project folder with templates, and the services of a user in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warnings: list[str] = []
        self.services = Services(
            {"OPENAI_API_KEY": "sk-" + "x" * 20, "HOME": str(folder)},
            name="dev",
            home=folder / "home",
            cwd=folder,
            warn=self.warnings.append,
        )

    def template(self, text: str, name: str = "t") -> str:
        (self.folder / "prompts").mkdir(exist_ok=True)
        (self.folder / "prompts" / f"{name}.md").write_text(text, encoding="utf-8")
        return name

    def ask(self, prompt: str = "", ask: Ask | None = None, **wish: Any) -> Request:
        ask = ask or Ask(prompt)
        prepared = prepare(self.services, Wish(**wish), ask.model, ask.params)
        return compose(self.services, asked(ask, prepared))

    def said(self, prompt: str = "", **wish: Any) -> list[tuple[str, Any]]:
        return [(m["role"], m["content"]) for m in self.ask(prompt, **wish).messages]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_nothing_wished_is_the_prompt_alone(home: Home) -> None:
    """The usual case must stay what it is."""
    assert home.said("Hi") == [("user", "Hi")]


def test_a_template_says_model_parameters_and_schema(home: Home) -> None:
    """Prompts are code: what they need stands beside them. The command's word is stronger."""
    name = home.template(
        "---\nmodel: openai/gpt-4.1\nparams: {temperature: 0, seed: 1}\nschema: 'name, age int'\n---\n"
        "{{ content }}"
    )
    request = home.ask("Ada", template=name)
    assert request.target.model == "openai/gpt-4.1"
    assert (request.params["temperature"], request.params["seed"]) == (0, 1)
    assert request.schema is not None
    assert list(request.schema["properties"]) == ["name", "age"]
    assert request.renderer.template.name == "t"
    stronger = home.ask(
        ask=Ask("Ada", model="openai/gpt-4o", params={"seed": 2}), template=name, schema="title"
    )
    assert (stronger.target.model, stronger.params["seed"]) == ("openai/gpt-4o", 2)
    assert list((stronger.schema or {})["properties"]) == ["title"]


def test_variables_are_texts_or_a_map(home: Home) -> None:
    """The command line and a program say the same in their own way."""
    name = home.template("---\nvariables: {n: {type: integer}}\n---\n{{ n + 1 }} {{ who }}")
    assert home.said(template=name, variables=["n=2", "who=all"]) == [("user", "3 all")]
    assert home.said(template=name, variables={"n": 2, "who": "all"}) == [("user", "3 all")]
    with pytest.raises(UsageError, match="-V whoo") as caught:
        home.said(template=name, variables=["n=2", "whoo=all"])
    assert "'who'" in caught.value.hint
    with pytest.raises(UsageError, match="needs a template"):
        home.said("x", variables=["n=2"])


def test_all_parts_in_their_places(home: Home) -> None:
    """Examples before the question, files before its text, the steps last."""
    (home.folder / "n.txt").write_text("note", encoding="utf-8")
    found = home.said(
        "Q?",
        examples=[{"input": "i", "output": {"o": 1}}],
        files=[home.folder / "n.txt"],
        cot=True,
    )
    assert found[:2] == [("user", "i"), ("assistant", '{"o": 1}')]
    last = found[2][1]
    assert last.startswith("File ")
    assert "note" in last
    assert last.index("Q?") < last.index("Think step by step")


def test_an_image_is_a_part(home: Home) -> None:
    """Models take images beside the text."""
    (home.folder / "i.png").write_bytes(PNG)
    content = home.said("What?", files=[str(home.folder / "i.png")])[0][1]
    assert [part["type"] for part in content] == ["image_url", "text"]


def test_examples_leave_room_for_question_and_answer(home: Home) -> None:
    """A request that the provider refuses for its length is money for nothing; dropping is told."""
    rows = [{"input": f"{n} " + "word " * 3000, "output": "ok"} for n in range(80)]
    request = home.ask("Q?", examples=rows)
    facts = home.services.facts
    model = request.target.model
    assert 10 < len(request.messages) < 2 * len(rows)
    assert facts.count(request.messages, model) + facts.answer_room(request) <= 128_000
    assert len(home.warnings) == 1
    home.warnings.clear()
    assert len(home.ask("Q?", examples=rows[:3]).messages) == 7
    assert home.warnings == []


def test_the_nearest_examples_are_for_the_question_not_the_file(home: Home) -> None:
    """A long attachment shares words with every example."""
    (home.folder / "n.txt").write_text("banana banana banana", encoding="utf-8")
    rows = [{"input": "banana bread", "output": "b"}, {"input": "sort numbers", "output": "s"}]
    found = home.said("How to sort?", examples=rows, choose="nearest:1", files=[home.folder / "n.txt"])
    assert found[0] == ("user", "sort numbers")


def test_a_shorter_prompt_keeps_the_order_for_steps(home: Home) -> None:
    """Cutting the words that the answer is found by would lose the answer."""
    text = " ".join(f"Sentence number {n} is here." for n in range(300))
    content = home.said(text, optimize=True, max_tokens=200, cot=True)[0][1]
    assert home.services.facts.count(content, "openai/gpt-4o-mini") <= 200
    assert content.endswith("below it the answer alone.")


@pytest.mark.parametrize(
    ("wish", "kind"),
    [
        ({"choose": "first:2"}, UsageError),
        ({"max_tokens": 5}, UsageError),
        ({"examples": "missing.jsonl"}, ConfigError),
        ({"examples": [{"input": "x"}]}, ConfigError),
        ({"examples": [{"input": "x", "output": "y"}], "choose": "worst:2"}, UsageError),
        ({"template": "nope"}, ConfigError),
        ({"schema": "missing.json"}, ConfigError),
        ({"schema": "age integr"}, ConfigError),
        ({"files": ["missing.txt"]}, ConfigError),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_asked(home: Home, wish: Any, kind: type[Exception]) -> None:
    """A file that is missing must not cost a call."""
    with pytest.raises(kind):
        home.ask("x", **wish)


def test_a_recipe_is_told_alike_in_every_process(home: Home, tmp_path: Path) -> None:
    """A batch knows by it whether its output is still that of this command."""
    rows = [{"input": "i", "output": "o"}, {"input": "j", "output": "p"}]
    (home.folder / "i.png").write_bytes(PNG)
    wish = Wish(examples=rows, choose="nearest:1", files=[home.folder / "i.png"], optimize=True)
    (tmp_path / "other").mkdir()
    other = Home(tmp_path / "other")
    first, second = (prepare(each.services, wish).recipe.told() for each in (home, other))
    assert first == second
    assert "0x" not in str(first)
    changed = Wish(examples=rows, choose="first:1", files=[home.folder / "i.png"], optimize=True)
    assert prepare(home.services, changed).recipe.told() != first


def test_a_row_may_call_its_variable_prompt(home: Home) -> None:
    """`prompt` is a usual column; it must not be said twice, nor lost."""
    own = prepare(home.services, Wish(template=home.template("Say {{ prompt }} {{ n }}", "own"))).recipe
    other = prepare(home.services, Wish(template=home.template("Say {{ content }}", "other"))).recipe
    neither = prepare(home.services, Wish(template=home.template("Say {{ n }}", "neither"))).recipe
    row = {"prompt": "hi", "n": 1}
    said = [[m["content"] for m in recipe.messages("hi", variables=row)] for recipe in (own, other, neither)]
    assert said == [["Say hi 1"], ["Say hi"], ["Say 1\n\nhi"]]
