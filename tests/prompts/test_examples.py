"""Few-shot examples: reading, choosing, fitting, joining."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from llmctl.core.errors import ConfigError, UsageError
from llmctl.prompts.examples import (
    Chooser,
    Example,
    Likeness,
    as_text,
    by_words,
    from_rule,
    join,
    load,
    words,
)
from llmctl.prompts.model import ExamplesRule

SHOTS = [
    Example("the cat sat on the mat", "cat"),
    Example("stocks fell by ten percent", "money"),
    Example("the dog chased a cat", "dog"),
    Example("rates and stocks rose", "money"),
]


def outputs(examples: Sequence[Example]) -> list[str]:
    return [e.output for e in examples]


def test_files_are_read(tmp_path: Path) -> None:
    """Examples come from where they are kept: JSON lines or a spreadsheet."""
    lines = tmp_path / "a.jsonl"
    lines.write_text(
        '{"input": "a\u2028b", "output": {"x": 1}}\n\n{"input": 1, "output": "y"}\n', encoding="utf-8"
    )
    assert load(lines) == [Example("a\u2028b", '{"x": 1}'), Example("1", "y")]
    whole = tmp_path / "a.json"
    whole.write_text('[{"input": "a",\n "output": "b"}]', encoding="utf-8")
    assert load(whole) == [Example("a", "b")]
    table = tmp_path / "a.TSV"
    table.write_text(f"input\toutput\n{'x' * 200_000}\ty\n", encoding="utf-8")
    assert load(table) == [Example("x" * 200_000, "y")]
    table = tmp_path / "a.csv"
    table.write_text('\ufeffinput,output,note\n"a, b","c\nd",x\n', encoding="utf-8")
    assert load(table) == [Example("a, b", "c\nd")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"input": "a"}', ":1: input and output"),
        ('{"input": "a", "output": "b"}\n{', ":2: not JSON"),
        ("[1]", ":1: input and output"),
        ('[{"input": 1', "not JSON"),
        ("\n", "holds no examples"),
    ],
)
def test_wrong_files_are_refused_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    """An example without an answer would teach the model nonsense."""
    path = tmp_path / "a.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.jsonl")


def test_first_and_random_choose_the_same_for_every_row() -> None:
    """A prompt prefix that stays the same is cached by providers, and a run can be repeated."""
    assert outputs(Chooser(SHOTS, "first:2").choose("x")) == ["cat", "money"]
    assert outputs(Chooser(SHOTS, "2").choose()) == ["cat", "money"]
    assert len(Chooser(SHOTS, "all").choose()) == len(Chooser(SHOTS, "first:99").choose()) == 4
    chooser = Chooser(SHOTS, "random:3", seed=7)
    assert chooser.choose("a") == chooser.choose("b") == Chooser(SHOTS, "random:3", seed=7).choose()
    assert {tuple(outputs(Chooser(SHOTS, "random:3", seed=n).choose())) for n in range(20)} != {
        tuple(outputs(chooser.choose()))
    }


def test_nearest_puts_the_likest_last() -> None:
    """The example next to the question weighs most."""
    chosen = Chooser(SHOTS, "nearest:2").choose("A cat was on my mat!")
    assert outputs(chosen) == ["dog", "cat"]
    assert outputs(Chooser(SHOTS, "nearest:1").choose("why did stocks rise with rates?")) == ["money"]


def test_the_question_itself_is_no_example() -> None:
    """Scoring a data set with itself as examples must not hand out the answers."""
    assert SHOTS[0] not in Chooser(SHOTS, "nearest:4").choose("the cat sat on the mat ")


def test_another_similarity_can_be_given() -> None:
    """Embeddings take the place of shared words where they are installed."""

    def by_length(inputs: Sequence[str]) -> Callable[[str], list[float]]:
        return lambda question: [-abs(len(text) - len(question)) for text in inputs]

    chooser = Chooser(SHOTS, "nearest:1", likeness=Likeness("length", by_length))
    assert outputs(chooser.choose("x" * 21)) == ["money"]
    assert (chooser.by, Chooser(SHOTS, "nearest:1").by, Chooser(SHOTS).by) == ("length", "shared words", None)
    assert chooser.told != Chooser(SHOTS, "nearest:1").told


def test_what_does_not_fit_is_left_out() -> None:
    """Examples must never push the question out of the context; the best ones stay."""
    count = len
    fitted = Chooser(SHOTS, "all", count=count, limit=80).choose()
    assert outputs(fitted) == ["cat", "money"]
    near = Chooser(SHOTS, "nearest:3", count=count, limit=40).choose("A cat was on my mat!")
    assert outputs(near) == ["cat"]
    assert Chooser(SHOTS, "all", count=count, limit=0).choose() == []


def test_words_of_scripts_without_spaces_overlap() -> None:
    """Chinese or Thai texts are near each other by pairs of characters."""
    assert words("Über_den 3 Äpfeln") == {"über", "den", "3", "äpfeln"}
    scores = by_words(["我喜欢苹果派", "今天天气好"])("苹果派")
    assert scores[0] > 0 == scores[1]


def test_wrong_choices_are_refused() -> None:
    """A slip in --examples must not send all ten thousand examples."""
    for how in ("last:3", "first:", "first:x", "-1", ""):
        with pytest.raises(UsageError, match="no choice of examples"):
            Chooser(SHOTS, how)


def test_examples_join_as_turns_or_text() -> None:
    """Chat models follow turns best; some endpoints take a system text only."""
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    shots = [Example("i", "o")]
    assert [m["content"] for m in join(messages, shots)] == ["s", "i", "o", "q"]
    inside = join(messages, shots, inside=True)
    assert inside[0]["content"] == "s\n\n" + as_text(shots) == "s\n\nExamples:\n\nInput: i\nOutput: o"
    assert join(messages[1:], shots, inside=True)[0]["role"] == "system"
    assert join(messages, []) == tuple(messages)


def test_a_template_brings_its_own(tmp_path: Path) -> None:
    """Examples written in a template's head need no file."""
    assert from_rule(ExamplesRule(rows=({"input": "a", "output": 1},))) == [Example("a", "1")]
    with pytest.raises(ConfigError, match="cannot be read"):
        from_rule(ExamplesRule(file=tmp_path / "none.jsonl"))
