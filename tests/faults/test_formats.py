"""The same faults in the formats of Anthropic and Gemini: one batch of each, a row of it for each fault."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from .asking import Asker, Outcome

MODELS = {"anthropic": "anthropic/claude-sonnet-4-5", "gemini": "gemini/gemini-2.5-flash"}
ATTEMPTS = 2


@dataclass(frozen=True)
class Row:
    """What a fault does: `error` None is an answer; `requests` and `billed` are those of its row."""

    fault: str
    error: str | None
    requests: int
    billed: str
    finish: str | None = None


ROWS = {
    "fault_04": Row("reset_before_headers", "connection", ATTEMPTS, "unknown"),
    "fault_05": Row("reset_in_body", "broken_answer", ATTEMPTS, "unknown"),
    "fault_12": Row("no_headers", "timeout", ATTEMPTS, "unknown"),
    "fault_14": Row("html", "broken_answer", ATTEMPTS, "no"),
    "fault_15": Row("cut_json", "broken_answer", ATTEMPTS, "unknown"),
    "fault_16": Row("empty_body", "broken_answer", ATTEMPTS, "no"),
    "fault_17_null": Row("null_body", "broken_answer", ATTEMPTS, "no"),
    "fault_17_list": Row("list_body", "broken_answer", ATTEMPTS, "no"),
    "fault_18": Row("error_in_200:overloaded", "server_error", ATTEMPTS, "no"),
    "fault_20": Row("content_null", "empty_answer", 1, "unknown"),
    "fault_21": Row("empty_text", "empty_answer", 1, "yes"),
    "fault_22": Row("finish:length", None, 1, "yes", "length"),
    "fault_23": Row("finish:content_filter", "content_refused", 1, "yes"),
    "fault_24": Row("usage_missing", None, 1, "yes", "stop"),
    "fault_25_negative": Row("usage_negative", None, 1, "unknown", "stop"),
    "fault_25_absurd": Row("usage_absurd", None, 1, "unknown", "stop"),
    "fault_27": Row("content_length_too_large", "broken_answer", ATTEMPTS, "unknown"),
    "fault_28": Row("content_length_too_small", "broken_answer", ATTEMPTS, "unknown"),
    "fault_29": Row("gzip_broken", "broken_answer", ATTEMPTS, "no"),
    "fault_30": Row("not_utf8", "broken_answer", ATTEMPTS, "no"),
    "fault_33": Row("error:bad", "bad_request", 1, "no"),
    "fault_34": Row("context_too_long", "context_too_long", 1, "no"),
    "fault_41": Row("model_not_found", "model_not_found", 1, "no"),
    "fault_42": Row("status:408", "server_error", ATTEMPTS, "no"),
    "fault_43": Row("status:413", "bad_request", 1, "no"),
    "fault_44": Row("rate_limited", "rate_limit", ATTEMPTS, "no"),
    "fault_48": Row("retry_after:3600", "rate_limit", 1, "no"),
    "fault_49": Row("retry_after:-1", "rate_limit", ATTEMPTS, "no"),
    "fault_50": Row("overloaded", "server_error", ATTEMPTS, "no"),
    "fine": Row("delay:0.01", None, 1, "yes", "stop"),
}


@pytest.mark.slow
@pytest.mark.parametrize("provider", MODELS)
def test_faults_04_to_50_mean_the_same_in_every_format(ask: Asker, provider: str) -> None:
    """Who changes the provider must not learn anew what may be tried again and what is paid for."""
    ask.profile(
        models={"main": MODELS[provider]},
        retry={"attempts": ATTEMPTS, "base": 0.01, "cap": 0.05},
        timeout={"connect": 10, "first": 2, "idle": 2, "total": 30},
        breaker={"failures": 1000, "min_calls": 1000},
    )
    outcome = ask.batch(
        [{"id": name, "tag": name, "prompt": f"{name}."} for name in ROWS],
        match=[{"contains": f"{name}.", "default": row.fault} for name, row in ROWS.items()],
    )
    assert outcome.code == 9, outcome.err
    assert {row["id"]: found(outcome, row) for row in outcome.rows} == ROWS


def found(outcome: Outcome, row: dict[str, object]) -> Row:
    """What a row came to, in the words of the table."""
    name = str(row["id"])
    error = row["error"]["type"] if isinstance(row["error"], dict) else None
    requests = [each for each in outcome.requests if f"{name}." in str(each["body"])]
    call = next(each for each in outcome.calls if each["tag"] == name)
    finish = None if error else str(row["finish_reason"])
    return Row(ROWS[name].fault, error, len(requests), call["billed"], finish)


@pytest.mark.slow
def test_faults_06_and_37_in_another_format(ask: Asker) -> None:
    """A stream that is cut keeps and marks what was shown; a dead key is set aside for a good one."""
    good = "sk-" + "good" * 6
    keys = {"FIRST": "sk-" + "dead" * 6, "SECOND": good}
    ask.profile(models={"main": {"model": MODELS["anthropic"], "keys": ["env:FIRST", "env:SECOND"]}})
    outcome = ask("key_refused", env=keys, by_key={good: {"default": "reset_in_stream"}})
    assert (outcome.code, outcome.out, len(outcome.requests)) == (5, "echo: whisper \n", 2)
    assert "the answer above is incomplete" in outcome.err
    assert [attempt["error"] for attempt in outcome.attempts] == ["auth", "broken_stream"]
    assert [attempt["billed"] for attempt in outcome.attempts] == ["no", "unknown"]
