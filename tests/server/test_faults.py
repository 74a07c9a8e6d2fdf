"""Each fault does on the wire what its name says."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest

from .client import TestServer
from .faults import FAULTS
from .raw import HEADERS, KEY, TEXT, Heard, ask, talk

ECHO = f"echo: {TEXT}"


def ahead(moment: datetime) -> float:
    """Seconds until then."""
    return (moment - datetime.now(UTC)).total_seconds()


def unzips(body: bytes) -> bool:
    """Is it whole and valid gzip?"""
    try:
        return bool(gzip.decompress(body))
    except (OSError, EOFError, zlib.error):
        return False


def is_utf8(body: bytes) -> bool:
    """Can it be decoded?"""
    try:
        return bool(body.decode())
    except UnicodeDecodeError:
        return False


def is_json(text: str | bytes) -> bool:
    """Can it be parsed?"""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def told(heard: Heard) -> tuple[int, int]:
    """The usage that was told."""
    return heard.json["usage"]["prompt_tokens"], heard.json["usage"]["completion_tokens"]


# A spec and what must be true of what was heard. Those for streams are asked with a stream.
CASES: dict[str, Callable[[Heard], bool]] = {
    # the answer
    "answer:1+1 is 2": lambda h: h.text == "1+1 is 2" and told(h) == (4, 3),
    "words:300": lambda h: len(h.text.split()) == 300 and told(h) == (4, 300),
    "stream_words:50": lambda h: len(h.text.split()) == 50 and len(h.events) == 54 and h.whole,
    "thinking:first this": lambda h: (
        h.choice["message"]["reasoning_content"] == "first this" and told(h) == (4, 7)
    ),
    'tool:{"name":"f","arguments":"{cut"}': lambda h: (
        h.choice["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{cut"}
        and h.choice["finish_reason"] == "tool_calls"
    ),
    "service:flex": lambda h: h.json["service_tier"] == "flex" and h.text == ECHO,
    "model:other-model": lambda h: h.json["model"] == "other-model" and h.text == ECHO,
    "choices_empty": lambda h: h.json["choices"] == [] and told(h) == (4, 5),
    "content_null": lambda h: h.text is None and "tool_calls" not in h.choice["message"],
    "empty_text": lambda h: h.text == "" and told(h) == (4, 0),
    "finish:length": lambda h: h.choice["finish_reason"] == "length" and h.text == ECHO,
    "finish_missing": lambda h: h.choice["finish_reason"] is None and h.text == ECHO,
    "stream_done_without_finish": lambda h: h.text == ECHO and h.finishes == [] and h.events[-1] == "[DONE]",
    "big:3000000": lambda h: 3_000_000 < len(h.text) < 3_100_000 and h.whole,
    'usage:{"input_tokens":100,"cached_tokens":60}': lambda h: (
        told(h) == (100, 5) and h.json["usage"]["prompt_tokens_details"]["cached_tokens"] == 60
    ),
    "cached_tokens:3": lambda h: h.json["usage"]["prompt_tokens_details"]["cached_tokens"] == 3,
    "reasoning_tokens:2": lambda h: h.json["usage"]["completion_tokens_details"]["reasoning_tokens"] == 2,
    'usage_raw:{"odd":"x"}': lambda h: h.json["usage"] == {"odd": "x"},
    "usage_with_finish": lambda h: [bool(each.get("usage")) for each in h.chunks] == [False] * 6 + [True],
    "usage_missing": lambda h: "usage" not in h.json and h.text == ECHO,
    "usage_negative": lambda h: told(h) == (-5, -7),
    "usage_absurd": lambda h: min(told(h)) == 10**15,
    # errors
    "status:503": lambda h: h.status == 503 and h.error["type"] == "server_error",
    "error:rate": lambda h: h.status == 429 and h.error["code"] == "rate_limit_exceeded",
    "context_too_long": lambda h: h.status == 400 and h.error["code"] == "context_length_exceeded",
    "content_policy": lambda h: h.status == 400 and h.error["code"] == "content_policy_violation",
    "key_refused": lambda h: h.status == 401 and h.error["code"] == "invalid_api_key",
    "permission": lambda h: h.status == 403,
    "balance": lambda h: h.status == 402,
    "quota": lambda h: h.status == 429 and h.error["code"] == "insufficient_quota",
    "spend_limit": lambda h: h.status == 429 and h.error["code"] == "billing_hard_limit_reached",
    "model_not_found": lambda h: h.status == 404 and "some-model" in h.error["message"],
    "rate_limited": lambda h: h.status == 429 and "retry-after" not in h.headers,
    "overloaded": lambda h: h.status == 503 and "overloaded" in h.error["message"],
    "error_echoes_key": lambda h: (
        h.status == 401 and KEY in h.error["message"] and TEXT in h.error["message"]
    ),
    "error_in_200:rate": lambda h: h.status == 200 and h.error["code"] == "rate_limit_exceeded",
    "retry_after:-1": lambda h: h.status == 429 and h.headers["retry-after"] == "-1",
    "retry_after_date:60": lambda h: (
        h.status == 429 and 55 < ahead(parsedate_to_datetime(h.headers["retry-after"])) < 62
    ),
    "retry_after_ms:1500": lambda h: h.status == 429 and h.headers["retry-after-ms"] == "1500",
    "ratelimit_reset:6m0s": lambda h: h.status == 429 and h.headers["x-ratelimit-reset-requests"] == "6m0s",
    "ratelimit_reset_at:60": lambda h: all(
        55 < ahead(datetime.fromisoformat(h.headers[name])) < 61
        for name in ("x-ratelimit-reset-requests", "anthropic-ratelimit-requests-reset")
    ),
    "ratelimit:0/500/6m0s": lambda h: (
        h.status == 200
        and h.headers["x-ratelimit-remaining-requests"] == "0"
        and h.headers["anthropic-ratelimit-requests-limit"] == "500"
    ),
    "header:X-Test=a=b": lambda h: h.headers["x-test"] == "a=b" and h.text == ECHO,
    # bodies
    "html": lambda h: h.status == 200 and h.headers["content-type"] == "text/html" and b"<html>" in h.body,
    "cut_json": lambda h: h.whole and h.body.startswith(b'{"id"') and not is_json(h.body),
    "empty_body": lambda h: h.status == 200 and h.length == 0 and h.body == b"",
    "null_body": lambda h: h.status == 200 and h.json is None,
    "list_body": lambda h: h.status == 200 and h.json == [],
    "body:42": lambda h: h.status == 200 and h.json == 42,
    "not_utf8": lambda h: h.whole and not is_utf8(h.body) and is_json(h.body.decode(errors="replace")),
    "gzip": lambda h: h.headers["content-encoding"] == "gzip" and is_json(gzip.decompress(h.body)),
    "gzip_broken": lambda h: h.whole and h.body.startswith(b"\x1f\x8b") and not unzips(h.body),
    "gzip_cut": lambda h: h.whole and h.body.startswith(b"\x1f\x8b") and not unzips(h.body),
    "gzip_lie": lambda h: h.headers["content-encoding"] == "gzip" and is_json(h.body),
    "redirect:http://127.0.0.1:9/x": lambda h: (
        h.status == 307 and h.headers["location"] == "http://127.0.0.1:9/x"
    ),
    # framing
    "content_length_too_large": lambda h: (
        h.length == len(h.body) + 100 and is_json(h.body) and h.end == "closed"
    ),
    "content_length_too_large_stall": lambda h: h.length == len(h.body) + 100 and h.end == "open",
    "content_length_too_small": lambda h: h.length == len(h.body) - 10 and is_json(h.body),
    "no_content_length": lambda h: "content-length" not in h.headers and h.text == ECHO and h.end == "closed",
    "chunked": lambda h: h.chunked and h.whole and h.text == ECHO,
    # streams
    "reset_in_stream": lambda h: h.text == "echo: one " and h.end == "reset",
    "close_in_stream:3": lambda h: h.text == "echo: one two " and h.end == "closed" and not h.whole,
    "stream_stall": lambda h: h.text == "echo: one " and h.end == "open",
    "stream_malformed": lambda h: sum(not is_json(e) for e in h.events[:-1]) == 1 and h.finishes == ["stop"],
    "stream_error:rate": lambda h: (
        h.chunks[-1]["error"]["code"] == "rate_limit_exceeded" and h.text == "echo: one "
    ),
    "stream_without_finish": lambda h: (
        h.text == ECHO and not h.finishes and "[DONE]" not in h.events and h.whole
    ),
    "sse_comments": lambda h: h.body.count(b": still here\n") == len(h.events) and h.text == ECHO,
    "sse_crlf": lambda h: h.body.count(b"\r\n\r\n") == len(h.events) and h.text == ECHO,
    # time
    "delay:0.2": lambda h: h.seconds >= 0.2 and h.text == ECHO,
    "first_delay:0.2": lambda h: h.seconds >= 0.2 and h.text == ECHO,
    "stream_pause:0.03": lambda h: h.seconds >= 0.03 * len(h.events) and h.text == ECHO,
    "trickle:0.001": lambda h: h.seconds >= 0.001 * len(h.body) and h.text == ECHO,
    "no_headers": lambda h: h.raw == b"" and h.end == "open",
    "stall_in_body": lambda h: h.length // 2 == len(h.body) and h.end == "open",
    # the end of the connection
    "reset_before_headers": lambda h: h.raw == b"" and h.end == "reset",
    "close_before_headers": lambda h: h.raw == b"" and h.end == "closed",
    "reset_in_body": lambda h: h.length // 2 == len(h.body) and h.end == "reset",
    "close_in_body": lambda h: h.length // 2 == len(h.body) and h.end == "closed",
    "close_after": lambda h: h.text == ECHO and h.end == "closed",
    "bad_chunk": lambda h: b"\r\nzz\r\n" in h.raw and h.end == "closed",
    "bad_status_line": lambda h: h.raw.startswith(b"SSH-") and h.end == "closed",
}

KEPT_ALIVE = {"close_after", "content_length_too_small"}  # told apart only where nobody asked to close
ELSEWHERE = {"retry_info"}  # Gemini's alone, below


def name_of(spec: str) -> str:
    """The fault's name."""
    return spec.partition(":")[0]


def test_each_fault_has_a_case() -> None:
    """A fault nobody looked at on the wire may do something else than its name says."""
    assert {name_of(spec) for spec in CASES} | ELSEWHERE == FAULTS.keys()


@pytest.mark.parametrize("spec", CASES)
def test_fault(spec: str, server: TestServer) -> None:
    """The rows of the list of faults are only tested if the server really makes them."""
    name = name_of(spec)
    server.script(queue=[[spec]])
    path, body = ask(stream=FAULTS[name].streamed)
    heard = talk(server.port, path, body, HEADERS["openai"], keep=name in KEPT_ALIVE)
    assert CASES[spec](heard), heard
    (entry,) = server.log()
    assert entry["fault"] == spec


@pytest.mark.parametrize("provider", HEADERS)
def test_faults_of_streams_in_each_format(provider: str, server: TestServer) -> None:
    """Breaking off after two words must leave the same two words whatever the provider."""
    specs = ["reset_in_stream", "stream_stall", "close_in_stream", "stream_error", "stream_without_finish"]
    server.script(queue=specs)
    for spec in specs:
        path, body = ask(provider, stream=True)
        heard = talk(server.port, path, body, HEADERS[provider])
        assert b"one" in heard.body and b"echo: " in heard.body
        assert (b"four" in heard.body) == (spec == "stream_without_finish")
        assert (b"verloaded" in heard.body or b"server busy" in heard.body) == (spec == "stream_error")
        ends = (b"[DONE]", b"message_stop", b'finishReason":', b'"done":true')
        assert not any(end in heard.body for end in ends), heard


def test_retry_info_is_geminis(server: TestServer) -> None:
    """Google says when to come back in the body, nobody else does."""
    server.script(default="retry_info:2.5")
    heard = talk(server.port, *ask("gemini"), HEADERS["gemini"])
    assert heard.status == 429
    assert heard.error["details"][0]["retryDelay"] == "2.5s"
    assert "retry_info is Gemini's" in talk(server.port, *ask(), HEADERS["openai"]).error["message"]


def test_faults_combine(server: TestServer) -> None:
    """A slow 503 with a Retry-After is one entry of a script, in whatever order it is written."""
    for spec in ("delay:0.1+status:503+retry_after:7", "retry_after:7+delay:0.1+status:503"):
        server.script(queue=[spec])
        heard = talk(server.port, *ask(), HEADERS["openai"])
        assert heard.status == 503
        assert heard.headers["retry-after"] == "7"
        assert heard.seconds >= 0.1


def test_a_status_keeps_an_odd_body(server: TestServer) -> None:
    """Gateways answer 502 with a page of HTML."""
    server.script(queue=["status:502+html"])
    heard = talk(server.port, *ask(), HEADERS["openai"])
    assert heard.status == 502
    assert b"<html>" in heard.body


def test_a_fault_of_streams_needs_a_stream(server: TestServer) -> None:
    """A test that scripts one without asking for a stream tests nothing, and must see that."""
    server.script(queue=["stream_stall"])
    heard = talk(server.port, *ask(), HEADERS["openai"])
    assert heard.status == 500
    assert heard.error["message"] == "test server: stream_stall needs a streamed answer"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("statsu:500", "near it: status"),
        ("status", "needs an argument"),
        ("status:many", "invalid literal"),
        ("html:now", "takes no argument"),
        ("error:odd", "kinds are"),
    ],
)
def test_a_wrong_spec_is_refused(spec: str, words: str, server: TestServer) -> None:
    """A misspelt fault would otherwise be a normal answer, and its test green."""
    with pytest.raises(ValueError, match=words):
        server.script(queue=[spec])


def test_only_what_a_provider_would_bill_is_billed(server: TestServer) -> None:
    """Comparing a ledger with the bill needs a bill that is right: lost answers cost, errors do not."""
    cost = {"reset_in_body": 9, "cut_json": 9, "no_headers": 9, "words:50": 54, "usage_negative": 9}
    free = [
        "status:500",
        "html",
        "empty_body",
        "error_in_200",
        "not_utf8",
        "gzip_broken",
        "redirect:http://127.0.0.1:9",
    ]
    cost |= dict.fromkeys(free, 0)
    server.script(queue=list(cost))
    for spec in cost:
        talk(server.port, *ask(), HEADERS["openai"])
        assert server.log()[-1]["billed_tokens"] == cost[spec], spec
