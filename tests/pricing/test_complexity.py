"""The rules that judge a prompt, each with a prompt that it decides."""

from __future__ import annotations

import time

import pytest

from llmctl.pricing.complexity import complexity, points_of

FILLER = "The parcel came on Tuesday and was left with a neighbour. "


@pytest.mark.parametrize(
    ("prompt", "level"),
    [
        ("", "simple"),
        ("What is the capital of France?", "simple"),
        ("Classify the sentiment of this review: it broke after a day.", "simple"),
        ("Extract the invoice number from this text. " + FILLER * 8, "simple"),
        ("Translate to German: good morning", "simple"),
        ("Write a short poem about rain", "normal"),
        ("Explain what a mutex is", "normal"),
        ("Summarize this article. " + FILLER * 100, "normal"),
        ("Translate to German: " + FILLER * 60, "normal"),
        ("¿Qué dice este texto? " + FILLER * 10, "normal"),
        ("What does this do?\n```\nprint(1)\n```", "normal"),
        ("Prove that there are infinitely many primes.", "complex"),
        ("Design a rate limiter for twenty processes.", "complex"),
        ("Debug this:\n```\nfor i in x: pass\n```", "complex"),
        ("Explain the trade-offs of the two storage engines", "complex"),
        ("Write:\n1. a table\n2. an index\n3. a query\n\n" + FILLER * 40, "complex"),
        (FILLER * 250, "complex"),
    ],
)
def test_a_prompt_is_judged_by_the_stated_rules(prompt: str, level: str) -> None:
    """The choice decides what is paid, so it must be what the documents say."""
    assert complexity(prompt) == level


@pytest.mark.parametrize(
    ("added", "points"),
    [
        ("", 1),
        (" Prove it.", 3),
        (" Classify it.", 0),
        (" Write it down.", 1),
        ("\n```\nx\n```", 2),
        ("\nimport os\nx = 1;\nreturn x\n", 2),
        (" $$x^2$$", 2),
        (" Who? Where? When?", 2),
        ("\n- a\n- b\n- c\n", 2),
        ("\n- a\n- b\n", 1),
        (" " + FILLER * 40, 2),
        (" " + FILLER * 220, 3),
    ],
)
def test_each_rule_gives_its_points(added: str, points: int) -> None:
    """Every rule by itself, on a prompt that is neither short nor long."""
    assert points_of(FILLER * 4 + added) == points


def test_a_pasted_text_does_not_decide() -> None:
    """An article about architecture that is to be translated is no design task."""
    pasted = FILLER * 30 + " design, prove, debug, algorithm " + FILLER * 30
    assert points_of("Translate this. " + pasted) == points_of("Translate this. " + FILLER * 61)


def test_a_huge_prompt_is_judged_at_once() -> None:
    """The rules must cost nothing beside the call."""
    started = time.process_time()
    for text in (" " * 2_000_000, "a;" * 1_000_000, "\n" * 2_000_000, "1. x\n" * 400_000, "for " * 500_000):
        complexity(text)
    assert time.process_time() - started < 2
