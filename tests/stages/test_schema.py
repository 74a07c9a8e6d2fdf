"""The stage `schema`: checks, asks again, sums, and loses no paid answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from llmctl.core.canonical import fingerprint
from llmctl.core.errors import BudgetError, ConfigError, LlmctlError, SchemaMismatch
from llmctl.core.model import Attempt, Request, Response, Send, Target, Usage, replace
from llmctl.prompts.answers import Answers
from llmctl.prompts.schema import load
from llmctl.stages.schema import schema

GOOD = '{"name": "Ada", "age": 36}'
BAD = '{"name": "Ada"}'
ASKED = Request(
    target=Target("t", "p/m", "p"),
    messages=({"role": "user", "content": "Who?"},),
    schema=load("name, age int"),
)


class Model:
    """A Send that gives the answers it was made with, and keeps what it was asked."""

    def __init__(self, answers: Iterable[Response | LlmctlError | str]) -> None:
        self.answers = list(answers)
        self.asked: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, LlmctlError):
            raise answer
        if isinstance(answer, Response):
            return answer
        return Response(
            text=answer,
            model="m",
            usage=Usage(10, 5, audio_input_tokens=1),
            cost=100,
            latency=1.0,
            ttft=0.25,
            tried=(Attempt("m", 0.0, 1.0, cost=100),),
        )


def ask(model: Send, request: Request = ASKED, retries: int = 2, native: bool = True) -> Response:
    send = schema(model, retries, Answers(native=lambda _: native))
    return asyncio.run(send(request))  # type: ignore[arg-type]  # a Send is a coroutine function here


def test_a_fitting_answer_is_parsed() -> None:
    """One call, and the value beside the text."""
    model = Model([GOOD])
    response = ask(model)
    assert (response.text, response.parsed, response.cost, response.warnings) == (
        GOOD,
        {"name": "Ada", "age": 36},
        100,
        (),
    )
    assert model.asked == [ASKED]


def test_without_a_schema_nothing_happens() -> None:
    """The stage stands in every call's way and must cost nothing."""
    plain = Request(target=ASKED.target, messages=ASKED.messages)
    model = Model(["anything"])
    assert ask(model, plain).text == "anything"
    assert model.asked[0] is plain


def test_a_mended_answer_says_so() -> None:
    """Mended is not whole: the user is told."""
    assert "mended" in ask(Model(['{"name": "Ada", "age": 36,}'])).warnings[0]


def test_a_bad_answer_is_asked_for_again_and_counted() -> None:
    """Every call is money: the response holds the sum, and the second question holds the errors."""
    model = Model([BAD, "no", GOOD])
    response = ask(model)
    assert response.parsed == {"name": "Ada", "age": 36}
    assert (response.cost, response.attempts, response.latency, response.ttft) == (300, 3, 3.0, 0.25)
    assert response.usage == Usage(30, 15, audio_input_tokens=3)
    assert [len(request.messages) for request in model.asked] == [1, 3, 5]
    assert "misses 'age'" in model.asked[1].messages[2]["content"]
    assert model.asked[2].messages[3]["content"] == "no"


def test_it_ends_after_its_retries_with_all_that_was_paid() -> None:
    """A model that never learns must not be paid for ever, and its answers count."""
    model = Model([BAD] * 9)
    with pytest.raises(SchemaMismatch, match=r"misses 'age' \(after 3 attempts\)") as caught:
        ask(model)
    assert len(model.asked) == 3
    assert caught.value.exit_code == 8
    assert (caught.value.billed, len(caught.value.tried)) == ("yes", 3)
    assert caught.value.response is not None
    assert (caught.value.response.cost, caught.value.response.text) == (300, BAD)
    with pytest.raises(SchemaMismatch):
        ask(Model([BAD]), retries=0)


def test_a_cut_answer_is_not_asked_for_again() -> None:
    """It would be cut off at the same place, for the same money."""
    model = Model([Response(text='{"name": "A', model="m", finish_reason="length"), GOOD])
    with pytest.raises(SchemaMismatch, match="cut off"):
        ask(model)
    assert len(model.asked) == 1


def test_an_error_in_between_carries_what_was_paid() -> None:
    """A budget that ends the second call must not lose the first one's cost and text."""
    with pytest.raises(BudgetError) as caught:
        ask(Model([BAD, BudgetError("over")]))
    assert caught.value.response is not None
    assert (caught.value.response.text, len(caught.value.tried)) == (BAD, 1)


def test_stored_answers_that_do_not_fit_are_asked_for_anew() -> None:
    """Else one bad hour of a model would be served for as long as the cache holds."""
    stored = [Response(text=BAD, model="m", cached="exact", cost=0, saved=100) for _ in range(3)]
    model = Model([*stored, BAD, GOOD])
    response = ask(model)
    assert response.parsed == {"name": "Ada", "age": 36}
    assert [request.cache for request in model.asked] == ["use"] * 3 + ["refresh"] * 2
    assert (response.cost, response.cached, len(response.tried)) == (200, None, 2)
    shared = Response(text=BAD, model="m", cached="shared", cost=0)
    with pytest.raises(SchemaMismatch):
        ask(Model([shared] * 3))


def test_a_schema_that_cannot_be_followed_loses_no_answer() -> None:
    """A pattern that takes too long shows only with an answer in hand, and that one is paid."""
    hostile = Request(target=ASKED.target, messages=ASKED.messages, schema={"items": {"pattern": "^(a|a)*$"}})
    text = '["' + "a" * 40 + 'b"]'
    with pytest.raises(ConfigError, match="takes too long") as caught:
        ask(Model([text, text]), hostile)
    assert caught.value.response is not None
    assert caught.value.response.text == text


def test_the_first_error_passes_untouched() -> None:
    """What is no matter of schemas is none of this stage's business."""
    error = BudgetError("over")
    with pytest.raises(BudgetError) as caught:
        ask(Model([error]))
    assert caught.value is error
    assert error.response is None


def test_an_unknown_price_stays_unknown() -> None:
    """A sum with an unknown part is unknown, never too small."""
    assert ask(Model([Response(text=BAD, model="m", cost=None), GOOD])).cost is None


def test_a_listener_gets_the_fitting_answer_once() -> None:
    """A stream of a bad answer followed by a good one would be no JSON."""
    shown: list[str] = []
    request = Request(target=ASKED.target, messages=ASKED.messages, schema=ASKED.schema, on_text=shown.append)
    model = Model([BAD, GOOD])
    ask(model, request)
    assert shown == [GOOD]
    assert [asked.on_text for asked in model.asked] == [None, None]


def test_a_schema_in_the_text_is_still_checked() -> None:
    """A model without structured output gets it in words, and no parameter that it refuses."""
    model = Model([BAD, GOOD])
    assert ask(model, native=False).parsed == {"name": "Ada", "age": 36}
    assert all(request.schema is None for request in model.asked)
    assert "JSON schema" in model.asked[1].messages[0]["content"]


def test_a_schema_in_the_text_is_the_same_question_for_batch_and_run() -> None:
    """A batch comes with its row's fingerprint; under that, the answer would be no hit for `run`."""
    row = replace(ASKED, fingerprint=fingerprint(ASKED))
    model = Model([GOOD, GOOD])
    for request in (ASKED, row):
        ask(model, request, native=False)
    assert fingerprint(model.asked[0]) == fingerprint(model.asked[1]) != row.fingerprint


def test_tool_calls_are_no_answer_yet() -> None:
    """A call of a tool comes before the answer that the schema is for."""
    calling = Response(text="", model="m", finish_reason="tool_calls", tool_calls=({"id": "1"},))
    assert ask(Model([calling])).tool_calls == ({"id": "1"},)
