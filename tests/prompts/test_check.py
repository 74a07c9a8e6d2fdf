"""Prompt checks: what is found, how bad it is, and what is left alone."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from llmctl.core.errors import CheckFailed
from llmctl.core.model import Message
from llmctl.prompts.check import CheckReport, Finding, Limits, check, check_variables, ordered
from llmctl.prompts.foreign import from_llm
from llmctl.prompts.model import Template, Variable
from llmctl.prompts.render import Renderer
from llmctl.prompts.templates import Folders, load

GOOD = 'Summarise the text in one sentence. For example: "Cats sleep a lot."\n\nText: Dogs bark.'


def count(messages: Sequence[Message]) -> int:
    return sum(len(str(m["content"]).split()) for m in messages)


def detect(text: str) -> Iterable[tuple[str, int, int]]:
    for match in re.finditer(r"(KEY|MAIL)\d", text):
        yield ("secret" if match[1] == "KEY" else "email"), match.start(), match.end()


def look(text: str, **more: Any) -> CheckReport:
    limits = more.pop("limits", Limits("m", 1000, 100))
    return check([{"role": "user", "content": text}], limits=limits, count=count, detect=detect, **more)


def codes(report: CheckReport) -> list[str]:
    return [finding.code for finding in report.findings]


def test_a_good_prompt_has_no_findings() -> None:
    """A check that cries wolf is switched off."""
    report = look(GOOD)
    assert report.findings == ()
    assert (report.exit_code, report.tokens, report.context) == (0, count([{"content": GOOD}]), 1000)


def test_the_answer_must_fit_too() -> None:
    """A prompt that leaves no room for the answer is paid for and cut off."""
    text = GOOD + " word" * 950
    report = look(text)
    assert [(f.severity, f.code) for f in report.errors] == [("error", "context")]
    assert "100 for the answer; m takes 1,000" in report.errors[0].message
    assert report.exit_code == 8
    assert codes(look(GOOD + " word" * 820)) == ["context"]
    assert look(GOOD + " word" * 820).exit_code == 0
    assert [f.severity for f in look(GOOD, limits=Limits()).findings] == ["info"]


def test_what_is_missing_is_told() -> None:
    """Instructions, a format and examples are what makes a prompt repeatable."""
    report = look("The weather in Paris was fine in May.")
    assert [(f.severity, f.code) for f in report.findings] == [
        ("warning", "instructions"),
        ("warning", "format"),
        ("info", "examples"),
    ]
    assert "format" not in codes(look("Rate the weather, which was fine.", has_schema=True))
    assert "instructions" not in codes(look("What was the weather like?"))
    assert "instructions" not in codes(look("Given the weather in Paris, explain the crowds."))
    assert codes(look("天気はどうですか")) == []


def test_secrets_are_errors_and_never_repeated() -> None:
    """The report is printed in CI logs."""
    report = look(GOOD + "\nKEY1\nMAIL2")
    assert [(f.severity, f.code, f.place) for f in report.findings] == [
        ("error", "secret", "message 1 (user), line 4"),
        ("warning", "personal", "message 1 (user), line 5"),
    ]
    assert "KEY1" not in str(report.findings)


@pytest.mark.parametrize("left", ["[insert text here]", "<your name>", "{user_name}", "TODO"])
def test_places_left_open_are_found(left: str) -> None:
    """A placeholder that was never filled is the costliest typing error of a batch."""
    assert codes(look(f"{GOOD}\nFor {left}")) == ["placeholder"]
    assert codes(look(f"{GOOD}\n```\n{left}\n```")) == codes(look(f"{GOOD}\nIn `{left}`")) == []


def test_a_variable_without_a_template_is_undefined() -> None:
    """It would be sent as it stands, braces and all, for every row."""
    report = look(f"{GOOD}\nFor {{{{ name }}}}")
    assert [(f.severity, f.code, f.place) for f in report.findings] == [
        ("error", "undefined", "message 1 (user), line 4")
    ]
    assert "-t" in report.errors[0].message


@pytest.mark.parametrize(
    "text",
    [
        "Schreibe ein Gedicht über den Herbst.",
        "Résume le texte pour les enfants.",
        "Resume el texto para los niños.",
        "Напиши о том, что это такое.",
    ],
)
def test_other_languages_are_not_judged_by_english_words(text: str) -> None:
    """A check that always fires is turned off, or stops a whole country's batch."""
    assert codes(look(text)) == []


def test_doubled_instructions_are_found() -> None:
    """Said twice is paid twice, a million times."""
    text = (
        "You must answer in one word.\nExample: yes\n- you must  answer in one word\nAlways be kind to all."
    )
    report = look(text)
    assert [(f.code, f.place) for f in report.findings] == [("doubled", "lines 1 and 3")]
    same = look("Write one word, for example. Write one word, for example.")
    assert [(f.code, f.place) for f in same.findings] == [("doubled", "line 1")]


@pytest.mark.parametrize(
    "text",
    [
        "Be brief. Explain in detail.",
        "Answer with JSON only. Answer in markdown.",
        "Think step by step. Give no explanation.",
        "Use a formal style. Be casual.",
        "Answer in English. Respond in French.",
        "Write at least 200 words. Write at most 100 words.",
        "Write exactly 5 lines, no more than 3 lines.",
        "Include the sources. Do not include the sources.",
        "Do not use emojis. Use emojis.",
        "Use bullet points. Write a list without bullet points.",
        "Be brief. Give a very detailed answer.",
        "Answer in one word. Explain in detail.",
        "Answer in upper case. Write only in lowercase.",
        "Write a long text about rivers. Be brief.",
        "Be concise. Explain rivers in great detail.",
        "Answer briefly. Be verbose.",
        "Answer in JSON. Answer in plain text.",
        "You must cite sources. You must not cite sources.",
    ],
)
def test_contradictions_are_found(text: str) -> None:
    """Two orders that cannot both be followed make answers a lottery."""
    assert codes(look(f"{text} For example: x, a list")) == ["contradiction"]


@pytest.mark.parametrize(
    "text",
    [
        "Be brief. Analyse the comprehensive report.",
        "Answer with JSON only.",
        "Write at least 100 words. Write at most 200 words.",
        "Translate the English text. Answer in French.",
        "Write an informal list.",
        "Include the sources. Do not include the footnotes.",
        "Use bullet points. Do not use numbers. Write a sentence without commas.",
        "Turn upper case into lower case.",
        "Use a formal tone. Avoid informal words.",
        "Give a short title. Give a detailed plan.",
        "Translate the JSON. Answer in plain text.",
        "You must cite books. You must not cite blogs.",
    ],
)
def test_instructions_that_agree_are_left_alone(text: str) -> None:
    """Words that only look alike are no contradiction."""
    assert "contradiction" not in codes(look(text))


def test_the_words_of_variables_are_no_instructions() -> None:
    """A customer's mail may say anything twice; only the template's own words are judged."""
    template = Template(name="t", source="t.md", body="Rate {{ content }} as a number, for example 3.")
    content = "Be brief. Explain in detail. You must do it now please. You must do it now please. {{ x }}"
    messages = Renderer(template).messages({"content": content})
    assert check(messages, limits=Limits("m", 1000, 1), count=count, template=template).findings == ()


def test_variables_are_compared() -> None:
    """A template whose head and body disagree fails at the first row, or in silence."""
    variables = {"a": Variable("a"), "b": Variable("b", default="x"), "gone": Variable("gone", default=1)}
    template = Template(name="t", source="t.md", body="{{ a }}{{ b }}{{ aa }}", variables=variables)
    names = Renderer(template).names
    found = check_variables(template, names)
    assert [(f.severity, f.code) for f in found] == [("error", "undefined"), ("warning", "unused")]
    assert "did you mean 'a'?" in found[0].message
    assert [f.code for f in check_variables(template, names, {"aa": 1})] == ["missing", "unused"]
    assert [f.code for f in check_variables(template, names, {"aa": 1, "a": 1})] == ["unused"]


def test_a_template_of_llm_has_no_way_to_declare() -> None:
    """Its names without a default are simply required; a batch's rows still have to bring them."""
    template = from_llm("prompt: Say $thing in $lang\ndefaults: {lang: English}\n", "l.yaml")
    assert check_variables(template, {"thing", "lang"}) == []
    assert [f.code for f in check_variables(template, {"thing", "lang"}, {})] == ["undefined"]


def test_errors_can_be_raised_and_warnings_made_errors() -> None:
    """A profile's `checks` decides what stops a batch."""
    report = look("The weather.", limits=Limits("m", 1000, 1, strict=("format",)))
    assert [f.code for f in report.errors] == ["format"]
    with pytest.raises(CheckFailed, match="output format") as caught:
        report.raise_for_errors()
    assert caught.value.exit_code == 8
    look(GOOD).raise_for_errors()
    twice = [Finding("info", "a", "x"), Finding("error", "b", "y"), Finding("info", "a", "x")]
    assert [f.code for f in ordered(twice)] == ["b", "a"]


@pytest.mark.parametrize("name", ["content-analysis", "summarise", "classify", "extract", "translate"])
def test_shipped_templates_pass(tmp_path: Path, name: str) -> None:
    """What ships sets the example."""
    template = load(name, Folders(tmp_path, tmp_path))
    renderer = Renderer(template)
    messages = renderer.messages({"content": "Some text."})
    report = check(
        messages,
        limits=Limits("m", 1000, 1),
        count=count,
        template=template,
        has_schema=bool(template.schema),
    )
    assert [f for f in report.findings if f.severity != "info"] == []
    assert check_variables(template, renderer.names) == []


@pytest.mark.parametrize(
    "piece", ["You must do it. ", "{", "```\n", "answer in ", " ", "do not a ", "\n", "{{", "<your "]
)
def test_large_prompts_are_checked_fast(piece: str) -> None:
    """A check of a million characters must not take longer than the call."""
    started = time.process_time()
    look(piece * (1_000_000 // len(piece)))
    assert time.process_time() - started < 5


@pytest.mark.parametrize("letters", [100, 100_000])
def test_one_long_word_is_checked_fast(letters: int) -> None:
    """A gene behind `never` is one word: there is one way to read it, not every way to cut it in five."""
    started = time.process_time()
    look(f"never {'acgt' * (letters // 4)}?")
    assert time.process_time() - started < 1
    report = look("Use tables. No tables. Include the sources. Never include the sources. Lie. Do not lie.")
    told = [finding.message for finding in report.findings if finding.code == "contradiction"]
    assert [message.split("'")[1] for message in told] == ["include the sources", "lie", "tables"]
