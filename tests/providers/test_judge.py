"""What is thought of an answer that arrived whole, and what is added to errors."""

from __future__ import annotations

import pytest

from llmctl.core.errors import (
    AuthError,
    BadRequest,
    ContentRefused,
    ContextTooLong,
    EmptyAnswer,
    ModelNotFound,
    ServerError,
)
from llmctl.core.model import Request, Response, Target, Usage
from llmctl.providers.judge import Judge

MODEL = "openai/small"
KEY = "sk-" + "k" * 20
REQUEST = Request(
    Target("main", MODEL, "openai"),
    ({"role": "user", "content": "the secret of the llamas"},),
    key="env:KEY",
)
COUNTED = Usage(7, 3, estimated=True)


def judge(near: tuple[str, ...] = (), room: int | None = None) -> Judge:
    return Judge(lambda request, response: COUNTED, lambda model: list(near), lambda model: room)


def test_a_usage_that_is_missing_is_counted() -> None:
    """One that was told stays as it is."""
    assert judge().answer(REQUEST, Response("hi", MODEL, usage=Usage(estimated=True))).usage == COUNTED
    assert judge().answer(REQUEST, Response("hi", MODEL, usage=Usage(1, 2))).usage == Usage(1, 2)


@pytest.mark.parametrize(
    ("text", "finish", "error", "hint"),
    [
        ("", "stop", EmptyAnswer, "rephrase"),
        (" \n", "stop", EmptyAnswer, "rephrase"),
        ("", "length", EmptyAnswer, "reasoning"),
        ("half", "content_filter", ContentRefused, "policy"),
    ],
)
def test_what_is_no_answer(text: str, finish: str, error: type[EmptyAnswer], hint: str) -> None:
    """It carries what came and how it is billed: the money is gone all the same."""
    answer = Response(text, MODEL, finish, billed="unknown")
    with pytest.raises(error) as caught:
        judge().answer(REQUEST, answer)
    assert caught.value.response is answer and caught.value.billed == "unknown"
    assert hint in caught.value.hint


def test_a_tool_call_is_an_answer() -> None:
    """Without text, as it should be."""
    answer = Response("", MODEL, "tool_calls", tool_calls=({"id": "1"},))
    assert judge().answer(REQUEST, answer) is answer


def test_a_context_too_long_says_how_long_and_what_fits() -> None:
    """Many providers say neither."""
    error = ContextTooLong(f"{MODEL}: too long")
    judge(room=8192).error(REQUEST, error, None)
    assert error.message == f"{MODEL}: too long; 7 tokens counted here, {MODEL} takes 8,192"
    error = ContextTooLong(f"{MODEL}: too long")
    judge().error(REQUEST, error, None)
    assert error.message == f"{MODEL}: too long; 7 tokens counted here"


def test_an_unknown_model_gets_its_nearest_names() -> None:
    """Most are typing errors. The model's own name helps nobody."""
    error = ModelNotFound(f"{MODEL}: no such model", hint="see the list")
    judge((MODEL, "openai/smaller", "groq/small")).error(REQUEST, error, None)
    assert error.hint == "did you mean openai/smaller or groq/small? see the list"
    error = ModelNotFound(f"{MODEL}: no such model", hint="see the list")
    judge((MODEL,)).error(REQUEST, error, None)
    assert error.hint == "see the list"


def test_a_refused_key_is_named_by_its_reference() -> None:
    """Which of many variables to look at."""
    error = AuthError(f"{MODEL}: {KEY} is not valid")
    judge().error(REQUEST, error, KEY)
    assert error.message == str(error) == f"{MODEL}: *** is not valid"
    assert error.hint.startswith("the key is env:KEY; ")


def test_the_prompt_is_taken_out_but_not_the_models_name() -> None:
    """A prompt that speaks of the model must not hide which model failed."""
    parts = [{"type": "text", "text": f"{MODEL}: the secret of the llamas"}, {"type": "image_url"}]
    request = Request(REQUEST.target, ({"role": "user", "content": parts}, {"role": "tool", "content": None}))
    for error in (
        BadRequest(f"{MODEL}: bad text the secret of the llamas"),
        ServerError("the secret of the llamas"),
    ):
        judge().error(request, error, None)
        assert "llamas" not in error.message
    assert BadRequest(f"{MODEL}: x").message.startswith(MODEL)
