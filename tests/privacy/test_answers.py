"""What an answer may not say."""

import json
from typing import Any

import pytest

from llmctl.core.errors import UnsafeAnswer
from llmctl.core.model import Response
from llmctl.core.profile import PrivacyRule
from llmctl.privacy.answers import inspect, is_unsafe, judge

SECRET = "ghp_" + "a1B2c3D4e5" * 4


def rule(answers: str, **more: Any) -> PrivacyRule:
    return PrivacyRule(answers=answers, forbidden=("darn", "heck no"), **more)


def test_warning_names_kinds_and_counts_only() -> None:
    """A warning is printed and logged: it must not repeat what it warns of."""
    got = judge(Response(text=f"Darn, {SECRET}", model="m"), rule("warn"))
    assert got.warnings == ("found in the answer: 1 forbidden word, 1 secret",)
    assert got.text == f"Darn, {SECRET}"


def test_masking_reaches_every_part() -> None:
    """The same secret in the text, the arguments, the parsed value and the body must go everywhere."""
    text = json.dumps({"token": SECRET})
    call = {"id": "1", "function": {"name": "f", "arguments": text}}
    response = Response(
        text=text,
        model="m",
        reasoning=f"I say {SECRET}",
        tool_calls=(call,),
        parsed={"token": SECRET},
        body={"choices": [{"message": {"content": text, "tool_calls": [call]}}]},
    )
    got = judge(response, rule("mask"))
    assert SECRET not in repr(got)
    assert json.loads(got.text) == got.parsed == {"token": "[SECRET]"}
    assert json.loads(got.tool_calls[0]["function"]["arguments"]) == {"token": "[SECRET]"}


def test_blocking_carries_the_cost_but_not_the_answer() -> None:
    """The ledger needs the answer's cost; whatever writes the error down must not write the secret."""
    call = {"id": "1", "function": {"name": "f", "arguments": SECRET}}
    response = Response(
        SECRET, "m", cost=5, reasoning=SECRET, tool_calls=(call,), parsed=SECRET, body={"a": SECRET}
    )
    with pytest.raises(UnsafeAnswer) as caught:
        judge(response, rule("block"))
    carried = caught.value.response
    assert carried is not None and carried.cost == 5 and SECRET not in repr(vars(carried))
    assert caught.value.billed == "yes" and caught.value.exit_code == 8
    assert SECRET not in str(caught.value) and SECRET not in json.dumps(caught.value.envelope())


def test_what_would_be_blocked_must_not_be_cached() -> None:
    """A blocked answer in the cache would be paid once and refused for ever, on disk all the time."""
    unsafe = Response(text=SECRET, model="m")
    assert is_unsafe(unsafe, rule("block"))
    assert not is_unsafe(unsafe, rule("warn"))
    assert not is_unsafe(Response(text="fine", model="m"), rule("block"))


def test_forbidden_patterns_and_phrases() -> None:
    """Words are whole words, whatever their case; patterns are as written."""
    strict = rule("warn", forbidden_patterns={"price": r"\d+ ?€"})
    assert inspect(Response(text="HECK no! 12 €", model="m"), strict) == {
        "forbidden word": 1,
        "forbidden price": 1,
    }
    assert not inspect(Response(text="darning socks", model="m"), strict)


def test_placeholders_are_not_secrets() -> None:
    """An answer that repeats a redacted password holds a placeholder, which is what was wanted."""
    assert not inspect(Response(text="password: <SECRET_1>", model="m"), rule("block"))


def test_other_kinds_are_judged_where_the_profile_names_them() -> None:
    """Secrets are the default; a profile may want card numbers kept out of answers too."""
    response = Response(text="4111 1111 1111 1111", model="m")
    assert not inspect(response, rule("warn"))
    assert inspect(response, rule("warn", answer_kinds=("card",))) == {"card": 1}
