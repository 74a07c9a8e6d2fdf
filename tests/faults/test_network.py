"""FAULTS 1-5, 12, 13, 27, 28, 31: the connection and what is told about its bytes."""

from __future__ import annotations

import os

import pytest

from tests.server.client import TestServer, refused_url

from .asking import ANSWER, SHORT, Asker, failed

PLAIN = "--no-stream"
STREAMS = pytest.mark.parametrize("mode", ["--no-stream", "--stream"])


@STREAMS
def test_fault_01_connection_refused_is_retried(ask: Asker, mode: str) -> None:
    """A server that restarts is back in a moment; nothing was sent, so nothing can be billed."""
    outcome = ask(None, mode, env={"OPENAI_BASE_URL": refused_url()})
    failed(outcome, 5, "connection", 0, "no", "refused", "127.0.0.1", "api_base")
    assert len(outcome.attempts) == 3


def test_fault_02_an_unknown_host_is_named_after_one_retry(ask: Asker) -> None:
    """A mistyped name stays unknown; more than one retry would only keep the user waiting."""
    env = {"OPENAI_BASE_URL": "http://no-such-host.invalid/v1", "RES_OPTIONS": "timeout:1 attempts:1"}
    outcome = ask(None, env=env)
    failed(outcome, 5, "unknown_host", 0, "no", "no-such-host.invalid", "unknown")
    assert len(outcome.attempts) == 2


def test_fault_03_a_wrong_certificate_is_never_accepted(ask: Asker, tls_server: TestServer) -> None:
    """Whoever sits in between would get the key: no request goes out, and no plain one instead."""
    outcome = ask(None, env={"OPENAI_BASE_URL": tls_server.openai})
    failed(outcome, 7, "certificate", 0, "no", "certificate", "127.0.0.1", "SSL_CERT_FILE")
    assert len(outcome.attempts) == 1
    assert tls_server.log() == []


@STREAMS
def test_fault_04_a_reset_before_headers_is_retried_and_perhaps_billed(ask: Asker, mode: str) -> None:
    """The request was sent whole: the provider may have done the work."""
    failed(ask("reset_before_headers", mode), 5, "connection", 3, "unknown", "broke", "api_base")
    outcome = ask(None, mode, queue=["reset_before_headers"])
    assert (outcome.code, outcome.out, len(outcome.requests)) == (0, ANSWER + "\n", 2)
    assert outcome.billed() == ["unknown", "yes"]
    assert outcome.calls[0]["cost"] is None


@pytest.mark.parametrize("fault", ["reset_in_body", "close_in_body"])
def test_fault_05_a_reset_inside_the_body_is_retried_and_not_stored(ask: Asker, fault: str) -> None:
    """Half an answer is none, though it was paid for."""
    failed(ask(fault, PLAIN), 5, "broken_answer", 3, "unknown", "cut short")
    ask.asks_again()


def test_fault_05_in_a_batch_the_other_rows_are_well(ask: Asker) -> None:
    """One row's bad luck is its own."""
    rows = [{"id": name, "prompt": f"row {name}"} for name in ("good", "bad", "fine")]
    outcome = ask.batch(rows, match=[{"contains": "bad", "default": "reset_in_body"}])
    assert outcome.code == 9
    assert [(row["id"], row["status"], row["attempts"]) for row in outcome.rows] == [
        ("good", "ok", 1),
        ("bad", "failed", 3),
        ("fine", "ok", 1),
    ]
    assert outcome.rows[1]["error"]["type"] == "broken_answer" and outcome.rows[1]["cost_usd"] is None
    assert len(outcome.requests) == 5
    assert sorted(outcome.billed()) == ["unknown"] * 3 + ["yes"] * 2


@STREAMS
def test_fault_12_headers_that_never_come_end_at_the_first_byte_timeout(ask: Asker, mode: str) -> None:
    """A provider that takes a request and falls silent must not hold the command."""
    ask.profile(timeout=SHORT)
    outcome = ask("no_headers", mode)
    failed(outcome, 5, "timeout", 3, "unknown", "no answer within 1 s", "timeout.first")
    assert all(attempt["latency"] >= 1 for attempt in outcome.attempts)


@STREAMS
def test_fault_13_the_total_deadline_holds_under_a_body_that_trickles(ask: Asker, mode: str) -> None:
    """A byte in time keeps every other limit from firing; the promise of `total` holds all the same."""
    ask.profile(timeout={"first": 9, "idle": 9, "total": 2})
    outcome = ask("trickle:1", mode)
    failed(outcome, 5, "timeout", 1, "unknown", "within 2 s", "timeout.total")
    assert 1.9 < outcome.calls[0]["latency"] < 3
    ask.asks_again()


def test_fault_13_the_total_holds_over_attempts_and_waits_too(ask: Asker) -> None:
    """Nine attempts of half a second do not fit into three: the last of them ends early."""
    ask.profile(timeout={"first": 0.5, "idle": 0.5, "total": 3}, retry={"attempts": 9, "base": 0.01})
    outcome = ask("trickle:9", PLAIN)
    assert outcome.code == 5 and 2 <= len(outcome.requests) <= 6
    assert 2.4 < outcome.calls[0]["latency"] < 4
    assert outcome.billed() == ["unknown"] * len(outcome.requests)


SILENT_NAME_SERVER = """
import socket, time
real = socket.getaddrinfo
def getaddrinfo(host, *args, **more):
    if host == "silent.example":
        time.sleep(40)
    return real(host, *args, **more)
socket.getaddrinfo = getaddrinfo
"""


def test_fault_13_the_total_holds_where_a_name_server_is_silent(ask: Asker, environ: dict[str, str]) -> None:
    """Nothing can interrupt the system's resolver: the command must not wait for its thread."""
    folder = ask.work / "silent"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SILENT_NAME_SERVER)
    ask.profile(timeout={"connect": 1, "total": 3})
    path = os.pathsep.join([str(folder), environ["PYTHONPATH"]])
    outcome = ask(None, env={"PYTHONPATH": path, "OPENAI_BASE_URL": "http://silent.example/v1"})
    assert (outcome.code, outcome.requests) == (5, [])
    assert {attempt["error"] for attempt in outcome.attempts} == {"timeout"}
    assert outcome.attempts[0]["billed"] == "no"
    assert outcome.calls[0]["latency"] < 4 and outcome.seconds < 30


def test_fault_27_a_content_length_too_large_is_no_whole_answer(ask: Asker) -> None:
    """All that was promised has to come, also where what came would parse."""
    failed(ask("content_length_too_large", PLAIN), 5, "broken_answer", 3, "unknown", "cut short")
    ask.asks_again()


def test_fault_27_waiting_for_the_missing_bytes_ends_at_the_idle_timeout(ask: Asker) -> None:
    """The same with a connection that stays open."""
    ask.profile(timeout=SHORT)
    failed(ask("content_length_too_large_stall", PLAIN), 5, "timeout", 3, "unknown", "timeout.idle")


def test_fault_28_a_content_length_too_small_neither_hangs_nor_spoils_the_next(ask: Asker) -> None:
    """The bytes that are left over must not be taken for the beginning of another answer."""
    outcome = ask("content_length_too_small", PLAIN)
    failed(outcome, 5, "broken_answer", 3, "unknown", "not as long as it says")
    assert outcome.calls[0]["latency"] < 6
    outcome = ask(None, PLAIN, queue=["content_length_too_small"])
    assert (outcome.code, outcome.out, len(outcome.requests)) == (0, ANSWER + "\n", 2)


@pytest.mark.parametrize(
    ("mode", "status"), [*((PLAIN, status) for status in (301, 302, 303, 307, 308)), ("--stream", 307)]
)
def test_fault_31_a_redirect_is_refused_and_the_key_stays_here(
    ask: Asker, other_server: TestServer, mode: str, status: int
) -> None:
    """Whoever can answer with a redirect could else collect keys and prompts."""
    target = f"{other_server.openai}/chat/completions"
    outcome = ask(f"redirect:{status} {target}", mode)
    failed(outcome, 7, "redirected", 1, "no", "redirect", f"127.0.0.1:{other_server.port}", "api_base")
    assert outcome.attempts[0]["http_status"] == status
    assert other_server.log() == []
