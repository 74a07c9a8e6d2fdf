"""FAULTS 33-50: what HTTP statuses mean, and when to come back."""

from __future__ import annotations

import pytest

from .asking import ANSWER, Asker, failed

STREAMS = pytest.mark.parametrize("mode", ["--no-stream", "--stream"])
PATIENT = {"total": 20}
ONE_KEY = pytest.mark.xfail(strict=True, reason="of a model's keys only the first is used so far")
REFUSED = {
    "fault_33_400": ("error:bad", "bad_request", ("HTTP 400", "-O")),
    "fault_34_context": (
        "context_too_long",
        "context_too_long",
        ("9001", "8192", "tokens counted here", "128,000"),
    ),
    "fault_35_policy": ("content_policy", "content_refused", ("content policy", "rephrase")),
    "fault_41_model": ("model_not_found", "model_not_found", ("HTTP 404", "did you mean openai/gpt-")),
    "fault_43_413": ("status:413", "bad_request", ("HTTP 413",)),
    "fault_43_422": ("status:422", "bad_request", ("HTTP 422",)),
}
ACCOUNT = {
    "fault_36_401": ("key_refused", "auth", ("HTTP 401", "env:OPENAI_API_KEY", "llmctl keys status")),
    "fault_36_401_that_repeats_what_was_sent": ("error_echoes_key", "auth", ("HTTP 401", "***")),
    "fault_39_402": ("balance", "quota_exhausted", ("HTTP 402", "spend limit")),
    "fault_39_quota": ("quota", "quota_exhausted", ("HTTP 429", "another key")),
    "fault_39_spend_limit": ("spend_limit", "quota_exhausted", ("HTTP 429", "spend limit")),
    "fault_40_403": ("permission", "forbidden", ("HTTP 403", "env:OPENAI_API_KEY", "permission")),
}
PASSING = {"fault_42": (408, 409, 425), "fault_50": (500, 502, 503, 504, 520, 529)}
ASKED = {
    "fault_45_seconds": "retry_after:1",
    "fault_46_date": "retry_after_date:1",
    "fault_47_ms": "retry_after_ms:1000",
    "fault_47_span": "ratelimit_reset:0m1s",
    "fault_47_rfc3339": "ratelimit_reset_at:1",
    "fault_45_with_a_503": "status:503+retry_after:1",
}


@pytest.mark.parametrize("row", REFUSED)
def test_fault_33_to_43_a_refused_request_is_sent_once(ask: Asker, row: str) -> None:
    """The same request gets the same refusal: sending it again is waste."""
    fault, error, words = REFUSED[row]
    failed(ask(fault), 7, error, 1, "no", *words)
    ask.asks_again()


@pytest.mark.parametrize("row", ACCOUNT)
def test_fault_36_39_40_a_refused_account_is_not_asked_again(ask: Asker, row: str) -> None:
    """No retry mends a key or a bill, and providers lock out who tries on."""
    fault, error, words = ACCOUNT[row]
    failed(ask(fault), 4, error, 1, "no", *words)


@pytest.mark.parametrize("fault", ["key_refused", "permission", "quota"])
def test_fault_36_39_40_stop_a_batch(ask: Asker, fault: str) -> None:
    """A thousand rows with a dead key are a thousand refusals."""
    rows = [{"prompt": f"row {number}"} for number in range(20)]
    outcome = ask.batch(rows, "--concurrency", "1", default=fault)
    assert (outcome.code, len(outcome.requests)) == (4, 1)
    assert {row["status"] for row in outcome.rows} == {"pending"}


@ONE_KEY
@STREAMS
def test_fault_37_a_good_second_key_takes_over(ask: Asker, mode: str) -> None:
    """A key that was revoked must not stop the work."""
    good = "sk-" + "good" * 6
    ask.profile(models={"main": {"model": "openai/gpt-4o-mini", "keys": ["env:FIRST", "env:SECOND"]}})
    env = {"FIRST": "sk-" + "dead" * 6, "SECOND": good}
    outcome = ask("key_refused", mode, env=env, by_key={good: {"default": None}})
    assert (outcome.code, outcome.out, len(outcome.requests)) == (0, ANSWER + "\n", 2)


@ONE_KEY
def test_fault_38_every_key_refused_lists_their_references(ask: Asker) -> None:
    """The user has to know which ones to replace, and nobody has to see them."""
    ask.profile(models={"main": {"model": "openai/gpt-4o-mini", "keys": ["env:FIRST", "env:SECOND"]}})
    keys = {"FIRST": "sk-" + "dead" * 6, "SECOND": "sk-" + "gone" * 6}
    outcome = ask("key_refused", env=keys)
    assert (outcome.code, len(outcome.requests)) == (4, 2)
    assert "env:FIRST" in outcome.err and "env:SECOND" in outcome.err
    assert not any(key in outcome.err for key in keys.values())


@pytest.mark.parametrize(
    ("row", "status"), [(row, status) for row, found in PASSING.items() for status in found]
)
def test_fault_42_50_what_passes_is_tried_again(ask: Asker, row: str, status: int) -> None:
    """Overload and hiccups are gone in a moment."""
    outcome = ask(f"status:{status}")
    failed(outcome, 5, "server_error", 3, "no", f"HTTP {status}")
    assert [attempt["http_status"] for attempt in outcome.attempts] == [status] * 3
    outcome = ask(None, queue=[f"status:{status}"])
    assert (outcome.code, outcome.out, len(outcome.requests)) == (0, ANSWER + "\n", 2)


@STREAMS
def test_fault_44_a_bare_429_is_tried_again(ask: Asker, mode: str) -> None:
    """Too many requests now are fewer in a moment."""
    failed(ask("rate_limited", mode), 5, "rate_limit", 3, "no", "HTTP 429", "limits.rpm")
    outcome = ask(None, mode, queue=["rate_limited", "rate_limited"])
    assert (outcome.code, outcome.out, len(outcome.requests)) == (0, ANSWER + "\n", 3)
    assert outcome.calls[0]["attempts"] == 3 and outcome.billed() == ["no", "no", "yes"]


@pytest.mark.parametrize("row", ASKED)
def test_fault_45_to_47_no_request_before_the_time_that_was_asked_for(ask: Asker, row: str) -> None:
    """Who comes back too soon is put off again, or locked out."""
    ask.profile(timeout=PATIENT)
    outcome = ask(None, queue=[ASKED[row]])
    assert (outcome.code, outcome.out, len(outcome.requests)) == (0, ANSWER + "\n", 2)
    (gap,) = outcome.gaps()
    assert 1 <= gap < 4


@pytest.mark.parametrize("row", [row for row in ASKED if "503" not in row])
def test_fault_45_to_47_a_row_of_a_batch_waits_and_the_others_go_on(ask: Asker, row: str) -> None:
    """One row's wait must not hold up the rest."""
    ask.profile(timeout=PATIENT)
    rows = [{"prompt": "the late one"}, *({"prompt": f"row {number}"} for number in range(5))]
    outcome = ask.batch(
        rows, "--concurrency", "2", match=[{"contains": "late", "queue": [ASKED[row]]}], default="delay:0.02"
    )
    assert (outcome.code, len(outcome.requests)) == (0, 7)
    late = [request["t"] for request in outcome.requests if "late" in str(request["body"])]
    others = [request["t"] for request in outcome.requests if "late" not in str(request["body"])]
    assert late[1] - late[0] >= 1
    assert max(others) < late[1]


@STREAMS
def test_fault_48_an_hours_wait_is_refused_at_once_with_the_time_to_come_back(ask: Asker, mode: str) -> None:
    """A command that sleeps for an hour looks like one that hangs."""
    ask.profile(timeout=PATIENT)
    outcome = ask("retry_after:3600", mode)
    failed(outcome, 5, "rate_limit", 1, "no", "come back in 60 min")
    assert outcome.calls[0]["latency"] < 6
    error = ask("retry_after:3600", "--json").json["error"]
    assert (error["type"], error["status"], error["retryable"]) == ("rate_limit", 429, True)
    assert error["retry_after_s"] == 3600


@pytest.mark.parametrize("told", ["-1", "soon", "NaN", "inf", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_fault_49_nonsense_for_a_time_means_our_own_back_off(ask: Asker, told: str) -> None:
    """Neither a crash, nor no wait at all, nor one without an end."""
    ask.profile(retry={"attempts": 3, "base": 0.01, "cap": 0.05})
    outcome = ask(f"retry_after:{told}")
    failed(outcome, 5, "rate_limit", 3, "no", "HTTP 429")
    assert outcome.calls[0]["latency"] < 6
