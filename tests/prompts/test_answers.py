"""Answers against a schema: read, mended and told, refused with paths, asked for again."""

from __future__ import annotations

import time
from contextlib import suppress

import orjson
import pytest

from llmctl.core.model import Request, Target
from llmctl.prompts.answers import Answers, Mismatch, Parsed, ask_again, in_text, validate
from llmctl.prompts.schema import load

SCHEMA = load("name, age int")
ADA = {"name": "Ada", "age": 36}
GOOD = '{"name": "Ada", "age": 36}'


def test_a_good_answer_passes_untouched() -> None:
    """The common case says nothing."""
    assert validate(f" {GOOD}\n", SCHEMA) == Parsed(ADA)


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{GOOD}\n```",
        f"Sure! Here it is:\n\n```\n{GOOD}\n```\nAnything else?",
        f"The answer is {GOOD}. Bye {{}}",
        f'Like {{"name": "x"}} you mean: {GOOD}',
        '{"name": "Ada", "age": 36,}',
        "{'name': 'Ada', 'age': 36}",
        '{"name": "Ada", "age": 36',
        '{name: "Ada", age: 36}',
        '{"name": "Ada" "age": 36} // done',
        '```json\n{"name": "Ada",\n"age": 36,\n}\n```',
    ],
)
def test_small_faults_are_mended_and_told(text: str) -> None:
    """A paid answer is not thrown away for a comma, but nobody is left to believe it was whole."""
    parsed = validate(text, SCHEMA)
    assert parsed.value == ADA
    assert parsed.mended
    assert len(parsed.warnings) == 1


def test_reasoning_before_the_answer_is_no_fault() -> None:
    """With chain of thought the JSON is what stands behind the thoughts."""
    assert validate(f"<think>{{hm}}</think>{GOOD}", SCHEMA) == Parsed(ADA)
    assert validate(f"Step 1.\nFinal answer:\n{GOOD}", SCHEMA) == Parsed(ADA)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("I cannot do that.", "it holds no JSON"),
        ("", "it holds no JSON"),
        ("5", r"\$: must be of type object"),
        ('{"name": "Ada"}', r"\$: misses 'age'"),
        ('{"name": "Ada", "age": "36"}', r"\$\.age: must be of type integer"),
        ('```\n{"name": "Ada"}\n```', r"\$: misses 'age'"),
        ('{"name": "Ada",}', r"\$: misses 'age'"),
        ('{"name": "Ada", "age": NaN}', r"\$\.age"),
        ("[" * 100_000, "it holds no JSON|must be of type"),
    ],
)
def test_what_does_not_fit_is_refused(text: str, error: str) -> None:
    """Exit 8 with the place; a script never gets a half answer as if it were one."""
    with pytest.raises(Mismatch, match=error) as caught:
        validate(text, SCHEMA)
    assert caught.value.exit_code == 8
    assert caught.value.errors


def test_every_value_can_be_written() -> None:
    """An answer that was paid for may not end the command, or the batch, that is to write it down."""
    any_object = {"type": "object"}
    big = validate('{"n": 123456789012345678901234567890, "m": 18446744073709551615}', any_object).value
    assert big == {"n": 1.2345678901234568e29, "m": 2**64 - 1}
    assert validate('{"n": 123456789012345678901234567890}', {"properties": {"n": {"type": "integer"}}}).value
    half = r'{"a \ud83d": ["b \udca9 c", "\ud83d\udca9"]}'
    for text in (half, f"Here it is:\n```json\n{half}\n```", half[:-1]):
        assert validate(text, any_object).value == {"a \ufffd": ["b \ufffd c", "\U0001f4a9"]}
    for text in ('{"n": 1e999}', '{"a": ' * 300 + "1" + "}" * 300, f'{{"n": {"9" * 400}}}'):
        with suppress(Mismatch):
            orjson.dumps(validate(text, any_object).value)
    with pytest.raises(Mismatch):  # rather than null, which nobody answered
        validate('{"n": 1e999}', any_object)


def test_a_cut_answer_is_not_completed() -> None:
    """At the token limit `"age": 3` may have become 36: closing the bracket would invent."""
    with pytest.raises(Mismatch, match="cut off") as caught:
        validate('{"name": "Ada", "age": 3', SCHEMA, cut=True)
    assert caught.value.hint == "raise max_tokens"
    assert validate(f"{GOOD} and then some te", SCHEMA, cut=True).value == ADA


def test_large_answers_are_read_fast() -> None:
    """A long wrong answer must not hold the batch."""
    started = time.process_time()
    texts = ("{" * 1_000_000, "[1," * 300_000, '{"a": ' * 100_000, "x" * 1_000_000, "```\n" * 200_000)
    for text in (*texts, "```" + " " * 1_000_000 + "x"):
        with pytest.raises(Mismatch):
            validate(text, SCHEMA)
    assert time.process_time() - started < 20


def test_a_second_try_shows_the_errors() -> None:
    """The model mends what it is told of."""
    messages = ask_again(
        [{"role": "user", "content": "q"}], "bad " * 9_000, ["$.age: must be of type integer"]
    )
    assert [m["role"] for m in messages] == ["user", "assistant", "user"]
    assert len(messages[1]["content"]) < 9_000
    assert "- $.age: must be of type integer" in messages[2]["content"]


def test_a_schema_goes_into_the_text_where_it_must() -> None:
    """Models without structured output are asked in words."""
    asked = Request(
        target=Target("t", "p/m", "p"),
        messages=({"role": "user", "content": "q"},),
        schema={"type": "object"},
    )
    assert Answers(native=lambda request: True).ready(asked) is asked
    told = Answers(native=lambda request: False).ready(asked)
    assert told.schema is None
    assert told.messages[0]["content"].endswith('{"type":"object"}')
    assert in_text([{"role": "system", "content": "s"}], {})[-1]["role"] == "user"
