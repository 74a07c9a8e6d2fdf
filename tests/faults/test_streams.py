"""FAULTS 6-11: streams that break. What was shown stays shown, marked, and nothing of it is stored."""

from __future__ import annotations

import pytest

from .asking import ANSWER, QUICK, SHORT, Asker, failed

BROKEN = {
    "fault_06_reset": ("reset_in_stream", "broken_stream", "lost inside the stream"),
    "fault_06_close": ("close_in_stream", "broken_stream", "lost inside the stream"),
    "fault_07_clean_end_without_finish_reason": ("stream_without_finish", "broken_stream", "before its end"),
    "fault_08_done_without_finish_reason": ("stream_done_without_finish", "broken_stream", "before its end"),
    "fault_09_malformed_event": ("stream_malformed:2", "broken_stream", "malformed event"),
    "fault_11_stall": ("stream_stall", "timeout", "timeout.idle"),
}
UNSHOWN = {
    "fault_06": "reset_in_stream:0",
    "fault_09": "stream_malformed:0",
    "fault_11": "stream_stall:0",
}
"""The same before the first word."""


@pytest.mark.parametrize("row", BROKEN)
def test_fault_06_to_11_a_broken_stream_keeps_and_marks_what_was_shown(ask: Asker, row: str) -> None:
    """Text on the screen cannot be taken back: a second try would say it twice."""
    fault, error, words = BROKEN[row]
    ask.profile(timeout=SHORT if error == "timeout" else QUICK["timeout"])
    outcome = ask(fault)
    failed(outcome, 5, error, 1, "unknown", words, "the answer above is incomplete")
    whole = row.startswith(("fault_07", "fault_08"))
    assert outcome.out == (f"{ANSWER}\n" if whole else "echo: whisper \n")
    call = outcome.calls[0]
    assert (call["finish"], call["answer_chars"]) == ("broken", len(outcome.out) - 1)
    ask.asks_again()


@pytest.mark.parametrize("row", UNSHOWN)
def test_fault_06_to_11_before_the_first_word_it_is_tried_again(ask: Asker, row: str) -> None:
    """Nothing was shown yet, so a second try costs the reader nothing."""
    ask.profile(timeout=SHORT)
    outcome = ask(None, queue=[UNSHOWN[row]])
    assert (outcome.code, outcome.out, outcome.err) == (0, ANSWER + "\n", "")
    assert len(outcome.requests) == 2
    assert outcome.billed() == ["unknown", "yes"]


@pytest.mark.parametrize("row", UNSHOWN)
def test_fault_06_to_11_before_the_first_word_attempts_are_counted(ask: Asker, row: str) -> None:
    """A stream that never begins is given up after the profile's attempts."""
    ask.profile(timeout=SHORT)
    outcome = ask(UNSHOWN[row])
    assert (outcome.code, outcome.out, len(outcome.requests)) == (5, "", 3)
    assert outcome.billed() == ["unknown"] * 3
    assert "incomplete" not in outcome.err


@pytest.mark.parametrize("fault", ["reset_in_stream", "stream_done_without_finish", "stream_malformed:2"])
def test_fault_06_to_09_while_nothing_is_shown_it_is_tried_again(ask: Asker, fault: str) -> None:
    """With --json the text comes at the end: half of an answer can still be thrown away."""
    outcome = ask(None, "--stream", "--json", queue=[fault])
    assert (outcome.code, outcome.json["text"], len(outcome.requests)) == (0, ANSWER, 2)
    assert [request["body"]["stream"] for request in outcome.requests] == [True, True]
    assert outcome.billed() == ["unknown", "yes"] and outcome.json["ttft_s"] > 0
    outcome = ask(fault, "--stream", "--json", "--refresh")
    assert (outcome.code, len(outcome.requests)) == (5, 3)
    assert outcome.json["error"]["partial"].startswith("echo: whisper")


@pytest.mark.parametrize(
    ("kind", "code", "error"),
    [
        ("overloaded", 5, "server_error"),
        ("rate", 5, "rate_limit"),
        ("key", 4, "auth"),
        ("quota", 4, "quota_exhausted"),
        ("policy", 7, "content_refused"),
        ("context", 7, "context_too_long"),
    ],
)
def test_fault_10_an_error_event_inside_a_stream_counts_by_its_kind(
    ask: Asker, kind: str, code: int, error: str
) -> None:
    """What went wrong decides the exit code, also where the answer had begun; it may be billed."""
    outcome = ask(f"stream_error:{kind}")
    failed(outcome, code, error, 1, "unknown", "incomplete")
    assert outcome.out == "echo: whisper \n"
    ask.asks_again()


def test_fault_06_a_stream_cut_after_its_finish_reason_is_whole(ask: Asker) -> None:
    """All of the text is there and paid for: a lost last line is no reason to pay again."""
    for ending in ("close_after", "bad_end"):
        fault = {"close_after": "close_after", "bad_end": "content_length_too_large:9"}[ending]
        outcome = ask(fault, "--refresh")
        assert (outcome.code, outcome.out, len(outcome.requests)) == (0, ANSWER + "\n", 1), outcome.err
