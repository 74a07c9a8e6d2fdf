"""FAULTS 14-26, 29, 30, 32: a 200 that is no answer, or an odd one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .asking import ANSWER, PROMPT, Asker, failed

PLAIN = "--no-stream"
STREAMS = pytest.mark.parametrize("mode", ["--no-stream", "--stream"])
NO_ANSWER = {
    "fault_14_html": ("html", "no", ("web page", "not an API", "api_base")),
    "fault_15_cut_json": ("cut_json", "unknown", ("JSON", "cut")),
    "fault_16_nothing": ("empty_body", "no", ("empty body", "api_base")),
    "fault_17_null": ("null_body", "no", ("null", "api_base")),
    "fault_17_list": ("list_body", "no", ("a list", "api_base")),
    "fault_19_no_choices": ("choices_empty", "unknown", ("without choices",)),
    "fault_29_broken_gzip": ("gzip_broken", "no", ("compression",)),
    "fault_29_no_gzip_at_all": ("gzip_lie", "no", ("compression",)),
    "fault_30_not_utf8": ("not_utf8", "no", ("UTF-8",)),
}


@pytest.mark.parametrize("row", NO_ANSWER)
def test_fault_14_to_30_a_200_that_is_no_answer_is_retried_and_not_stored(ask: Asker, row: str) -> None:
    """A gateway's hiccup passes; what it sent instead must never be served from the cache."""
    fault, billed, words = NO_ANSWER[row]
    failed(ask(fault, PLAIN), 5, "broken_answer", 3, billed, *words)
    ask.asks_again()


def test_fault_14_html_where_a_stream_was_asked_for(ask: Asker) -> None:
    """The same judgement, and nothing of the page on stdout."""
    outcome = ask("html", "--stream")
    failed(outcome, 5, "broken_answer", 3, "no", "not an API", "api_base")
    assert outcome.out == ""


@STREAMS
@pytest.mark.parametrize(
    ("kind", "code", "error", "requests"),
    [
        ("server", 5, "server_error", 3),
        ("rate", 5, "rate_limit", 3),
        ("key", 4, "auth", 1),
        ("model", 7, "model_not_found", 1),
    ],
)
def test_fault_18_an_error_object_in_a_200_counts_by_its_kind(
    ask: Asker, mode: str, kind: str, code: int, error: str, requests: int
) -> None:
    """Some gateways never say anything but 200."""
    outcome = ask(f"error_in_200:{kind}", mode)
    failed(outcome, code, error, requests, "no", "an error inside the answer")
    assert outcome.out == ""
    if mode == PLAIN:
        ask.asks_again()


def test_fault_20_null_content_fails_and_is_perhaps_billed(ask: Asker) -> None:
    """No text, no tool call: an empty success would break the next step of a script."""
    failed(ask("content_null", PLAIN), 8, "empty_answer", 1, "unknown", "no text")
    ask.asks_again()


def test_fault_20_null_content_with_a_tool_call_is_an_answer(ask: Asker) -> None:
    """There the text is rightly missing."""
    outcome = ask('tool:{"name": "look", "arguments": {"at": "sky"}}', PLAIN, "--json")
    assert (outcome.code, len(outcome.requests)) == (0, 1)
    assert outcome.json["tool_calls"][0]["function"]["name"] == "look"


@STREAMS
def test_fault_21_an_empty_text_fails_at_its_price(ask: Asker, mode: str) -> None:
    """The provider told what it used, so what was paid is known."""
    outcome = ask("empty_text", mode)
    failed(outcome, 8, "empty_answer", 1, "yes", "no text")
    assert outcome.calls[0]["cost"] > 0
    ask.asks_again()


def test_fault_20_and_21_in_a_batch_fail_their_rows_alone(ask: Asker) -> None:
    """The rest go on, and the output says why."""
    rows = [{"id": name, "prompt": f"row {name}"} for name in ("null", "empty", "fine")]
    outcome = ask.batch(
        rows,
        match=[
            {"contains": "row null", "default": "content_null"},
            {"contains": "row empty", "default": "empty_text"},
        ],
    )
    assert outcome.code == 9 and len(outcome.requests) == 3
    found = [(row["status"], (row["error"] or {}).get("type")) for row in outcome.rows]
    assert found == [("failed", "empty_answer"), ("failed", "empty_answer"), ("ok", None)]


@STREAMS
def test_fault_22_a_truncated_answer_is_marked_and_not_stored(ask: Asker, mode: str) -> None:
    """It is paid for and useful, but it is not the answer."""
    outcome = ask("finish:length", mode)
    assert (outcome.code, outcome.out, len(outcome.requests)) == (0, ANSWER + "\n", 1)
    assert "max_tokens" in outcome.err and outcome.billed() == ["yes"]
    assert outcome.calls[0]["finish"] == "length"
    ask.asks_again()


def test_fault_22_a_truncated_row_of_a_batch_is_marked(ask: Asker) -> None:
    """A million rows are not read by eye: the mark is in the data."""
    outcome = ask.batch([{"prompt": PROMPT}], default="finish:length")
    (row,) = outcome.rows
    assert (outcome.code, row["status"], row["truncated"], row["finish_reason"]) == (0, "ok", True, "length")
    ask.asks_again()


@STREAMS
def test_fault_23_a_filtered_answer_fails_and_is_not_stored(ask: Asker, mode: str) -> None:
    """Asking again gives the same refusal, at the same price."""
    failed(ask("finish:content_filter", mode), 7, "content_refused", 1, "yes", "filter")
    ask.asks_again()


@STREAMS
def test_fault_24_tokens_are_counted_here_where_no_usage_comes(ask: Asker, mode: str) -> None:
    """A cost of zero for want of numbers would let a budget run over."""
    outcome = ask("usage_missing", mode)
    assert (outcome.code, len(outcome.requests)) == (0, 1)
    (call,) = outcome.calls
    assert call["estimated"] == 1 and call["input_tokens"] > 0 and call["output_tokens"] > 0
    assert call["cost"] > 0 and outcome.billed() == ["yes"]


@STREAMS
@pytest.mark.parametrize("fault", ["usage_negative", "usage_absurd"])
def test_fault_25_usage_that_cannot_be_true_is_refused_and_estimated(
    ask: Asker, mode: str, fault: str
) -> None:
    """A negative cost would fill a budget up again."""
    outcome = ask(fault, mode)
    assert (outcome.code, outcome.out, len(outcome.requests)) == (0, ANSWER + "\n", 1)
    (call,) = outcome.calls
    assert call["estimated"] == 1 and 0 < call["input_tokens"] < 100 and 0 < call["output_tokens"] < 100
    assert call["cost"] > 0 and outcome.billed() == ["unknown"]


@STREAMS
@pytest.mark.parametrize(("answering", "price"), [("big", 2_000), ("nobody-knows-it", 1_000)])
def test_fault_26_the_model_that_answered_is_recorded_and_priced(
    ask: Asker, mode: str, answering: str, price: int
) -> None:
    """A gateway may route to a dearer model; an unknown one costs what the asked one does, never nothing."""
    prices = {"openai/gpt-4o-mini": {"input": 1, "output": 1}, "openai/big": {"input": 2, "output": 2}}
    ask.profile(prices=prices)
    outcome = ask(f"model:{answering}", mode)
    assert (outcome.code, len(outcome.requests)) == (0, 1)
    (call,) = outcome.calls
    assert (call["model"], call["asked"]) == (f"openai/{answering}", "openai/gpt-4o-mini")
    assert call["cost"] == price * (call["input_tokens"] + call["output_tokens"]) > 0


@pytest.mark.parametrize(("mode", "fault"), [(PLAIN, "big"), (PLAIN, "big+gzip"), ("--stream", "big")])
def test_fault_32_an_answer_of_20_mb_is_read_up_to_the_cap(ask: Asker, mode: str, fault: str) -> None:
    """It was paid for but nobody asked for it; a small machine must live on."""
    outcome = ask(fault, mode)
    failed(outcome, 5, "oversized_answer", 1, "unknown", "8,388,608 bytes", "max_answer_bytes")
    assert len(outcome.out) <= 8_388_608
    ask.asks_again()


def test_fault_32_in_a_batch_fails_its_row_alone(ask: Asker) -> None:
    """The rest go on."""
    rows = [{"id": "big", "prompt": "the big one"}, {"id": "small", "prompt": "the small one"}]
    outcome = ask.batch(rows, match=[{"contains": "big", "default": "big"}])
    assert (outcome.code, len(outcome.requests)) == (9, 2)
    assert [row["status"] for row in outcome.rows] == ["failed", "ok"]
    assert outcome.rows[0]["error"]["type"] == "oversized_answer"


@pytest.mark.parametrize("fault", ["big:100000000", "big:100000000+gzip"])
def test_fault_32_memory_stays_bounded(ask: Asker, environ: dict[str, str], work: Path, fault: str) -> None:
    """100 MB, packed into little or not, take no more than a few times the cap of 8 MB."""
    ask.profile()
    small, large = (peak_memory(ask, environ, work, each) for each in (None, fault))
    assert large - small < 48 * 2**20


def peak_memory(ask: Asker, environ: dict[str, str], work: Path, fault: str | None) -> int:
    """The most bytes that one command held."""
    ask.server.script(**({"default": fault} if fault else {}))
    command = [sys.executable, "-m", "llmctl", "-p", "quick", "run", PLAIN, "--no-cache", PROMPT]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=work, env=environ, stdout=quiet, stderr=quiet) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == (5 if fault else 0)
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
