"""Shorter prompts: without loss, then cut; code, data and numbers untouched."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmctl.prompts.optimize import GAP, optimize, optimize_messages, saved, settled

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
CODE = "```python\ndef f(x):\n    return  x   # two  spaces\n\n\n\nf(1)\n```"
DATA = '{\n  "a":   [1,\n\n\n 2],\n  "b": "x   y"\n}'
PROSE = st.lists(
    st.sampled_from(
        [
            "You must answer in JSON.",
            "The  cat\tsat. ",
            "Then 1 000,5 of 3 left.",
            "  indented   a bit",
            "- an   item",
            "2. another item",
            "# Head   line",
            "",
            "   ",
            "See https://x.example/a  b now",
            "a [link  x] and {y",
            "}",
            "Ünïcödé wörds  wäre.",
            "你好。再见！",
            "never never never never",
            GAP,
        ]
    ),
    max_size=12,
)
TEXTS = st.builds(
    "\n".join,
    st.lists(
        st.one_of(PROSE.map("\n".join), st.sampled_from([CODE, DATA]), st.text(max_size=40)), max_size=8
    ),
)


def count(text: str) -> int:
    """A tokenizer of its own: words and signs, and every run of white space beyond one blank."""
    return len(re.findall(r"\w+|[^\w\s]|\s{2,}|\n|\t", text))


def short(text: str, max_tokens: int | None = None) -> str:
    return optimize(text, count=count, max_tokens=max_tokens).text


@given(TEXTS, st.one_of(st.none(), st.integers(0, 60)))
@settings(max_examples=300, deadline=None)
def test_never_grows_and_is_stable(text: str, limit: int | None) -> None:
    """A shortening that makes a prompt longer, or another one each time, breaks caches and trust."""
    once = optimize(text, count=count, max_tokens=limit)
    assert len(once.text) <= len(text)
    assert once.after <= once.before
    assert (once.before, once.after) == (count(text), count(once.text))
    assert once.fits == (limit is None or once.after <= limit)
    twice = optimize(once.text, count=count, max_tokens=limit)
    assert twice.text == once.text


@given(PROSE.map("\n".join), PROSE.map("\n".join), st.sampled_from([CODE, DATA]))
@settings(max_examples=200, deadline=None)
def test_code_and_data_stay_as_they_are(before: str, after: str, block: str) -> None:
    """Two spaces may be the meaning of a program, and of a quoted text in JSON."""
    assert block in short(f"{before}\n\n{block}\n\n{after}")


@given(TEXTS, st.one_of(st.none(), st.integers(0, 60)))
@settings(max_examples=300, deadline=None)
def test_numbers_are_never_changed(text: str, limit: int | None) -> None:
    """An amount that loses a digit is a wrong answer that looks right."""
    numbers = set(NUMBER.findall(text))
    found = set(NUMBER.findall(short(text, limit)))
    assert found <= numbers
    if limit is None:
        assert found == numbers


@given(
    st.recursive(
        st.one_of(st.integers(), st.text(max_size=9), st.none()),
        lambda v: st.lists(v) | st.dictionaries(st.text(max_size=5), v),
        max_leaves=12,
    )
)
@settings(max_examples=200, deadline=None)
def test_json_reads_the_same(value: object) -> None:
    """Rows are pasted into prompts; what they say must not change."""
    if isinstance(value, dict | list):
        written = json.dumps(value, indent=1)
        assert written in short(f"Read this   row:\n{written}\nNow   answer.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a  b \n\n\n\nc\t\td  \n\n", "a b\n\nc d"),
        ("one\r\ntwo\r\n", "one\ntwo"),
        ("You must answer briefly.\nx\nYou must answer briefly!\ny", "You must answer briefly.\nx\ny"),
        ("Write in a formal tone. Be kind. Write in a formal tone.", "Write in a formal tone. Be kind."),
        ("la la la la la\nla la la la la\nx", "la la la la la\nx"),
        ("1 2 3 4 5 6\n1 2 3 4 5 6", "1 2 3 4 5 6\n1 2 3 4 5 6"),
        ("We met.\nx\nWe met.", "We met.\nx\nWe met."),
        ("See https://x.example/a?b  c", "See https://x.example/a?b  c"),
        ("    code   here\n\n\n    more", "    code   here\n\n\n    more"),
        ("Use `a  b`  so", "Use `a  b`  so"),
        ("", ""),
    ],
)
def test_without_loss(text: str, expected: str) -> None:
    """Only what carries no meaning goes; repeated data stays."""
    assert short(text) == expected


DOCUMENT = "\n\n".join(
    [
        "# Report",
        "First sentence of all. " + " ".join(f"Middle sentence {n} says little." for n in range(60)),
        "- one item\n- two items\n  and more",
        CODE,
        "## Second part",
        " ".join(f"Later sentence {n} says little." for n in range(60)) + " What does it say?",
    ]
)


def test_a_cut_keeps_the_structure() -> None:
    """Head, tail, headings, lists and code say what a text is about; the prose between them goes first."""
    result = optimize(DOCUMENT, count=count, max_tokens=200)
    assert result.fits
    assert result.after <= 200 < result.before
    for whole in (
        "# Report",
        "First sentence of all.",
        "- one item\n- two items\n  and more",
        CODE,
        "## Second part",
    ):
        assert whole in result.text
    assert result.text.endswith("What does it say?")
    assert GAP in result.text
    assert re.search("cut from the middle", " ".join(result.done))


def test_a_hard_cut_keeps_pieces_whole() -> None:
    """Half a program or half a list would mislead: they go whole, after the prose."""
    for limit in range(5, 200, 7):
        text = short(DOCUMENT, limit)
        assert (CODE in text) or ("def f" not in text)
        assert ("one item" in text) == ("two items\n  and more" in text)
    assert short(DOCUMENT, 30).startswith("# Report\nFirst") or "First sentence" in short(DOCUMENT, 30)


def test_what_cannot_be_cut_says_so() -> None:
    """A single long piece is left to the user, never mangled."""
    result = optimize("[" + ", ".join("1" * 500) + "]", count=count, max_tokens=10)
    assert not result.fits
    assert result.text == result.original


def test_the_diff_shows_what_went() -> None:
    """Nobody sends a text that a tool changed without a look at it."""
    result = optimize("a  b\nc", count=count)
    assert result.diff() == "--- before\n+++ after\n@@ -1,2 +1,2 @@\n-a  b\n+a b\n c"
    assert optimize("a", count=count).diff() == ""
    assert result.done == ("white space and doubled lines: 1 characters",)


def test_messages_are_cut_where_they_are_longest() -> None:
    """The instructions must survive; the pasted document pays."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be  kind."},
        {"role": "user", "content": DOCUMENT},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]},
        {"role": "user", "content": "Why?"},
    ]
    shorter, results = optimize_messages(messages, count=count, max_tokens=220)
    assert [shorter[n]["content"] for n in (0, 2, 3)] == ["Be kind.", messages[2]["content"], "Why?"]
    assert sum(count(m["content"]) for m in shorter if isinstance(m["content"], str)) <= 220
    assert saved(results)["fits"]
    assert saved(results)["before"] > saved(results)["after"]


def test_a_usual_megabyte_takes_less_than_a_second() -> None:
    """That is some ten times what it takes to look at each of its words."""
    text = (DOCUMENT * 300)[:1_000_000]

    def seconds(work: Callable[[], object]) -> float:
        started = time.process_time()
        work()
        return time.process_time() - started

    looked = min(seconds(lambda: re.findall(r"\w+|\W+", text)) for _ in range(3))
    shortened = min(seconds(lambda: optimize(text, count=len, max_tokens=100_000)) for _ in range(2))
    assert shortened < 20 * looked


@pytest.mark.parametrize(
    "text",
    [
        DOCUMENT * 200,
        "word " * 200_000,
        "You must do it at once. " * 40_000,
        "[\n" * 50_000 + "]\n" * 50_000,
        " " * 1_000_000,
        "\n" * 200_000,
        "a\t" * 200_000,
        "{" * 1_000_000,
        "1 " * 500_000,
        '"' * 1_000_000,
        "```\n" * 50_000,
        "a.\n" * 50_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_a_megabyte_is_shortened_fast(text: str) -> None:
    """It runs before every call of a batch that asks for it: no text may make it quadratic."""
    started = time.process_time()
    result = optimize(text, count=len, max_tokens=100_000)
    assert time.process_time() - started < 10
    assert settled(result.text)[0] == result.text
