"""The guard: near-misses are none of each other's answers, whatever their cosine."""

from __future__ import annotations

import re
import time

import pytest

from llmctl.meaning.guard import Marks, difference, marks, plain

SAME = [
    ("What is the capital of France?", "what's the capital of france"),
    ("What is the capital of France?", "Tell me: the capital of France."),
    ("How do I reset my password?", "how can I reset my password"),
    ("How do I reset my password?", "How to reset my password?"),
    ("Please explain recursion!", "Can you explain recursion?"),
    ("Summarise the colour theory", "summarize color theory"),
    ("List dogs breeds", "list dog breeds"),
    ("Summarize this in one paragraph.", "Please summarize this in a single paragraph."),
    ("What's 2+2?", "What is 2+2?"),
    ("Describe iPhone", "describe the iPhone"),
    ("什么是递归？", "什么是递归"),
    ("Quelle est la capitale du Togo ?", "quelle est la capitale du togo"),
    ("दिन का अर्थ क्या है?", "दिन का अर्थ क्या है।"),
    ("Cafe\u0301 culture", "café culture"),
    ("what is json", "What is JSON?"),
    ("Explain recursion - in one line…", "explain recursion, in one line"),
]
DIFFERENT = [
    ("numbers", "Convert 10 USD to EUR", "Convert 100 USD to EUR"),
    ("numbers", "Convert -5 to Fahrenheit", "Convert 5 to Fahrenheit"),
    ("numbers", "Version 1.2", "Version 1.3"),
    ("numbers", "Give three examples", "Give four examples"),
    ("numbers", "Who won in 2018?", "Who won in 2022?"),
    ("negations", "Is aspirin safe for children?", "Is aspirin not safe for children?"),
    ("negations", "He can't swim. Why?", "He can swim. Why?"),
    ("negations", "Dogs without tails", "Dogs with tails"),
    ("negations", "Ist das erlaubt?", "Ist das nicht erlaubt?"),
    ("negations", "Du thé sans lait", "Du thé, lait"),
    ("names", "Tell Ana a joke", "Tell Bob a joke"),
    ("names", "What is the capital of France?", "What is the capital of Germany?"),
    ("quotes", 'Say "yes"', 'Say "maybe"'),
    ("quotes", "Use `a`", "Use `b`"),
    ("quotes", "What is x < y?", "What is x > y?"),
    ("quotes", "Read http://a.b/c", "Read http://a.b/d"),
    ("negations", "Is it safe to run but not swim?", "Is it not safe to run but swim?"),
    ("the order of words", "Dogs bark and cats do not bark", "Dogs do not bark and cats bark"),
    ("names", "what does us mean", "what does US mean"),
    ("names", "Define aids", "Define AIDS"),
    ("quotes", "How good is this: 👍?", "How good is this: 👎?"),
    ("quotes", "How good is this :)", "How good is this :("),
    ("quotes", "What does ~ mean in bash?", "What does @ mean in bash?"),
    ("quotes", "What does ; mean in C?", "What does , mean in C?"),
    ("quotes", "What is the meaning of !", "What is the meaning of ?"),
    ("quotes", "What is 2*(3+4)?", "What is (2*3)+4?"),
    ("quotes", "What is 5!", "What is 5?"),
    ("quotes", "How long is 5'?", 'How long is 5"?'),
    ("quotes", "What is .env?", "What is env?"),
    ("quotes", "What is foo_bar?", "What is foo bar?"),
    ("a word", "दिन का अर्थ क्या है?", "दान का अर्थ क्या है?"),
    ("a word", "قَتَلَ means", "قُتِلَ means"),
    ("a word", "Is aspirin safe?", "Is ibuprofen safe?"),
    ("a word", "Is aspirin safe?", "Is aspirin safe today?"),
    ("a word", "How do I enable dark mode?", "How do I disable dark mode?"),
    ("a word", "Is it legal to record calls?", "Is it illegal to record calls?"),
    ("a word", "When was she born?", "Where was she born?"),
    ("a word", "What happened before the war?", "What happened after the war?"),
    ("a word", "Who is the president?", "Who was the president?"),
    ("the order of words", "flights from rome to oslo", "flights from oslo to rome"),
    ("the order of words", "The server is down", "Is the server down"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_question_in_another_dress(one: str, other: str) -> None:
    """Case, punctuation, politeness, articles, plurals and spelling change no answer."""
    assert difference(marks(one), marks(other)) is None


@pytest.mark.parametrize(("why", "one", "other"), DIFFERENT)
def test_near_misses_are_told_apart(why: str, one: str, other: str) -> None:
    """Another number, name, negation or single word asks for another answer; both ways round."""
    assert difference(marks(one), marks(other)) == difference(marks(other), marks(one)) == why


def test_two_wordings_may_be_one_question() -> None:
    """Where much differs, the cosine decides: a single word that differs is what a prompt is about."""
    assert difference(marks("How tall is Everest?"), marks("What height has Everest?")) is None


def test_marks_are_kept_as_hashes() -> None:
    """A prompt must not be readable out of a file beside the cache."""
    found = marks('Mail "hello" to Ana at 10', lambda word: f"#{len(word)}")
    assert all(re.fullmatch(r"#\d+", text) for part in found.packed() for text in part)
    assert Marks.unpacked(found.packed()) == found


def test_what_is_encoded_is_plain() -> None:
    """The dress of a question takes part of its vector, so it is left out."""
    assert plain("Can you please tell me: the capital of FRANCE?") == "the capital of france"
    assert plain("How can I swim?") == "how swim"
    assert plain("Name your best colour, please") == "name your best color"
    assert plain("what is") == "what is"


def test_long_prompts_are_marked_fast() -> None:
    """Documents are prompts too: no pattern may try a long run in every way."""
    for piece in (
        "word ",
        "'",
        "a@",
        '"',
        "`",
        "A",
        "- ",
        "1.",
        "http://",
        "?! ",
        "?!",
        "👍",
        "दि",
        "_",
        "A_",
    ):
        started = time.process_time()
        marks(piece * (200_000 // len(piece)))
        assert time.process_time() - started < 5, piece
