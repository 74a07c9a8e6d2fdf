"""Chain of thought: the answer apart from the reasoning, whole and streamed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmctl.core.model import Response
from llmctl.prompts.reasoning import Withhold, apart, instruct, instruction, split

HABITS = [
    ("Step 1: a.\nStep 2: b.\nFinal answer:\n42", "Step 1: a.\nStep 2: b.", "42"),
    ("Let me see.\n**Final Answer:** 42", "Let me see.", "42"),
    ("Let me see.\n**Final answer: 42**", "Let me see.", "42"),
    ("Let me see.\n**Final Answer**\n\n42\n\nSure.", "Let me see.", "42\n\nSure."),
    ("a\n### Final answer\n- x\n- **y**", "a", "- x\n- **y**"),
    ("a\nThe final answer is: 42", "a", "42"),
    ("a\n<answer>42</answer>\n", "a", "42"),
    ("<think>\nhm\n</think>\n\n42", "hm", "42"),
    ("<THINKING>hm</THINKING> 42", "hm", "42"),
    ("<think></think>42", None, "42"),
    ("<think>hm</think><reasoning>ho</reasoning>42", "hm\n\nho", "42"),
    ("<think>Final answer: no\n</think>so\nFinal answer: yes", "Final answer: no\n\nso", "yes"),
    ("hm, hm\n</think>\n42", "hm, hm", "42"),
    ("<think>cut off by the lim", "cut off by the lim", ""),
    ("Final answer: 42", None, "42"),
    ("Just 42, the final answer: is not marked here", None, "Just 42, the final answer: is not marked here"),
    ("Write <think> in HTML as &lt;think&gt;", None, "Write <think> in HTML as &lt;think&gt;"),
    ("", None, ""),
]


@pytest.mark.parametrize(("text", "reasoning", "answer"), HABITS)
def test_answer_and_reasoning_are_told_apart(text: str, reasoning: str | None, answer: str) -> None:
    """Models mark their answer in many dresses; a script wants the answer alone."""
    assert split(text) == (reasoning, answer)


def test_unmarked_texts_keep_their_words() -> None:
    """Where no steps were asked for, "Final answer:" is part of what the user gets."""
    assert split("So.\nFinal answer: 42", marked=False) == (None, "So.\nFinal answer: 42")
    assert split("<think>a</think>Final answer: 42", marked=False) == ("a", "Final answer: 42")


def stream(text: str, size: int, marked: bool) -> str:
    passed: list[str] = []
    listener = Withhold(passed.append, marked=marked)
    for start in range(0, len(text), size):
        listener(text[start : start + size])
    listener.finish()
    return "".join(passed)


@pytest.mark.parametrize(("text", "reasoning", "answer"), HABITS)
@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_a_stream_passes_on_the_answer_alone(
    text: str, reasoning: str | None, answer: str, size: int
) -> None:
    """What a terminal showed must be what the response holds, however the stream was cut."""
    assert stream(text, size, marked=True) == answer


@given(
    st.lists(
        st.sampled_from(
            ["Final answer", ":", "**", "\n", " ", "<think>", "</answer>", "<answer>", "42", "is", "#"]
        ),
        max_size=12,
    ),
    st.integers(1, 5),
)
def test_any_stream_ends_as_its_text_splits(parts: list[str], size: int) -> None:
    """No mixture of markers may lose or invent text."""
    text = "".join(parts)
    assert stream(text, size, marked=True) == split(text)[1]


def test_an_answer_streams_before_it_ends() -> None:
    """Withholding the reasoning must not withhold the answer until the end."""
    passed: list[str] = []
    listener = Withhold(passed.append)
    listener("thinking\nFinal answer: ")
    assert passed == []
    listener("one two three four five six seven")
    assert "".join(passed).startswith("one two three")


def test_thoughts_are_withheld_from_an_unmarked_stream() -> None:
    """`run` on a reasoning model shows the answer, at once where there are no thoughts."""
    assert stream("<think>long\nthought</think>\n\nFinal answer: 42 is it", 4, marked=False) == (
        "Final answer: 42 is it"
    )
    passed: list[str] = []
    listener = Withhold(passed.append, marked=False)
    listener("Hello there, this is an answer")
    assert passed == ["Hello there, t"]


def test_a_long_stream_costs_little() -> None:
    """A hundred thousand pieces of thought must not be searched from the start again and again."""
    text = "some words of thought, then more.\n" * 3_000
    assert stream(f"{text}Final answer: 42", 4, marked=True) == "42"


def test_the_provider_s_reasoning_is_kept() -> None:
    """Models that send reasoning themselves lose none of it."""
    both = apart(Response(text="so\nFinal answer: 42", model="m", reasoning="from the wire"))
    assert (both.text, both.reasoning) == ("42", "from the wire\n\nso")
    plain = Response(text="42", model="m")
    assert apart(plain) is plain


def test_steps_are_asked_for_in_the_last_question() -> None:
    """The instruction belongs to the question, not to an example before it."""
    messages = instruct(
        [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": [{"type": "text", "text": "c"}]},
        ]
    )
    assert messages[0]["content"] == "a"
    assert messages[2]["content"][1]["text"] == instruction()
    for word in ("topics", "readability", "sentiment", "consistency", "overall"):
        assert word in instruction()
    assert instruct([{"role": "user", "content": "q"}], ["look"])[0]["content"].startswith("q\n\nThink")
