"""The one session: what leaves, what is waited for, and when a connection is used again."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from llmctl.core.errors import (
    LlmctlError,
    OversizedAnswer,
    ProviderTimeout,
    RateLimited,
    Redirected,
    ServerError,
)
from llmctl.core.model import OnText, Request, Response, Target, Timeouts, replace
from llmctl.core.ports import HttpCall
from llmctl.providers.gate import Gate
from llmctl.providers.http import HttpProvider
from llmctl.providers.openai import OpenAICodec
from llmctl.providers.wire import Wire
from tests.server.client import TestServer, refused_url

KEY = "sk-" + "k" * 20
QUICK = Timeouts(connect=5, first=0.3, idle=0.3, total=30)


def asked(server: TestServer | str, on_text: OnText | None = None, **more: Any) -> Request:
    base = server if isinstance(server, str) else server.openai
    target = Target("main", "openai/gpt-4o-mini", "openai", base, timeouts=more.pop("timeouts", Timeouts()))
    return Request(target, ({"role": "user", "content": "say hello"},), on_text=on_text, **more)


def using(work: Callable[[Wire], Awaitable[Any]], max_bytes: int = 1 << 20, **more: Any) -> Any:
    """What `work` gives with a wire that is closed afterwards."""

    async def run() -> Any:
        wire = Wire(max_bytes, **more)
        try:
            return await work(wire)
        finally:
            await wire.close()

    return asyncio.run(run())


def send(request: Request, **more: Any) -> Response:
    async def work(wire: Wire) -> Response:
        return await HttpProvider(wire, OpenAICodec(request.target)).send(request, KEY)

    response: Response = using(work, **more)
    return response


def failure(request: Request, **more: Any) -> LlmctlError:
    with pytest.raises(LlmctlError) as caught:
        send(request, **more)
    return caught.value


@pytest.mark.parametrize("streamed", [False, True])
def test_one_connection_serves_one_worker(server: TestServer, streamed: bool) -> None:
    """A new connection a request costs a round trip, with TLS three."""
    request = asked(server, (lambda text: None) if streamed else None)

    async def work(wire: Wire) -> None:
        provider = HttpProvider(wire, OpenAICodec(request.target))
        for _ in range(20):
            await provider.send(request, KEY)

    using(work)
    stats = server.stats()
    assert (stats["requests"], stats["connections"]) == (20, 1)


def test_headers_are_those_of_the_codec(server: TestServer) -> None:
    """Nothing of the machine goes along: no cookies, no versions."""
    send(asked(server))
    headers = server.log()[0]["headers"]
    assert headers["authorization"] == f"Bearer {KEY}" and headers["user-agent"] == "llmctl"
    assert set(headers) <= {
        "host", "authorization", "user-agent", "content-type", "content-length", "accept", "accept-encoding",
    }  # fmt: skip


def test_no_cookie_is_ever_sent_back(server: TestServer) -> None:
    """A load balancer's cookie would tie all workers to one machine."""
    server.script(headers={"Set-Cookie": "lb=1"})
    request = asked(server)

    async def work(wire: Wire) -> None:
        provider = HttpProvider(wire, OpenAICodec(request.target))
        await provider.send(request, KEY)
        await provider.send(request, KEY)

    using(work)
    assert "cookie" not in server.log()[1]["headers"]


def test_statuses_become_errors_with_their_headers(server: TestServer) -> None:
    """Retry-After is in the headers, the reason in the body."""
    server.script(queue=["retry_after:7", "status:503", f"redirect:{server.openai}"])
    limited = failure(asked(server))
    assert isinstance(limited, RateLimited) and limited.retry_after == 7
    assert type(failure(asked(server))) is ServerError
    assert type(failure(asked(server))) is Redirected
    assert len(server.log()) == 3


@pytest.mark.parametrize(
    ("fault", "streamed", "what"),
    [("no_headers", False, "first"), ("stall_in_body", False, "idle"), ("stream_stall", True, "idle")],
)
def test_each_limit_is_named(server: TestServer, fault: str, streamed: bool, what: str) -> None:
    """Which number to raise is the next thing the user wants to know."""
    server.script(default=fault)
    shown: list[str] = []
    error = failure(asked(server, shown.append if streamed else None, timeouts=QUICK))
    assert isinstance(error, ProviderTimeout) and error.billed == "unknown"
    assert f"(timeout.{what})" in error.message and "0.3 s" in error.message
    if streamed:
        assert error.response is not None and error.response.text == "".join(shown)


def test_a_slow_stream_that_moves_is_no_stall(server: TestServer) -> None:
    """The idle limit is for each wait, not for the whole."""
    server.script(default="stream_pause:0.5")
    began = time.monotonic()
    limits = Timeouts(connect=9, first=9, idle=1.5, total=60)
    assert send(asked(server, lambda text: None, timeouts=limits)).text == "echo: say hello"
    assert time.monotonic() - began > 1.5


@pytest.mark.parametrize("streamed", [False, True])
def test_the_deadline_beats_every_other_limit(server: TestServer, streamed: bool) -> None:
    """However the bytes trickle in."""
    server.script(default="trickle:0.05")
    listener = (lambda text: None) if streamed else None
    request = asked(server, listener, deadline=time.monotonic() + 0.8)
    error = failure(request)
    assert isinstance(error, ProviderTimeout) and "(timeout.total)" in error.message
    assert request.deadline is not None
    assert 0 <= time.monotonic() - request.deadline < 1


@pytest.mark.parametrize(
    ("limits", "seconds", "what"),
    [
        (Timeouts(connect=0.3, first=9, idle=9, total=9), 9, "connect"),
        (Timeouts(connect=9, first=0.3, idle=9, total=9), 9, "first"),
        (Timeouts(connect=9, first=9, idle=9, total=0.3), 0.3, "total"),
    ],
)
def test_a_connection_that_never_stood_is_not_billed(limits: Timeouts, seconds: float, what: str) -> None:
    """Whichever limit passes meanwhile: nothing was sent, and a budget must not count it as spent."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        request = asked(f"http://127.0.0.1:{full.getsockname()[1]}/v1", timeouts=limits)
        error = failure(replace(request, deadline=time.monotonic() + seconds))
        for each in waiting:
            each.close()
    assert isinstance(error, ProviderTimeout)
    assert (error.billed, f"no connection within 0.3 s (timeout.{what})" in error.message) == ("no", True)


def test_nothing_listens(server: TestServer) -> None:
    """What was not sent is not billed."""
    error = failure(asked(refused_url()))
    assert (error.type, error.billed) == ("connection", "no") and "Connection refused" in error.message


def test_the_cap_holds_for_bodies_streams_and_errors(server: TestServer) -> None:
    """Also where an error drowns its reason in a page."""
    server.script(default="big:300000")
    assert type(failure(asked(server), max_bytes=100_000)) is OversizedAnswer
    server.script(default="stream_words:5000")
    shown: list[str] = []
    error = failure(asked(server, shown.append), max_bytes=800_000)
    assert type(error) is OversizedAnswer and error.billed == "unknown"
    assert error.response is not None and error.response.text == "".join(shown) != ""
    server.script(default="status:500+body:" + "x" * 300_000)
    assert type(failure(asked(server))) is ServerError
    assert len(failure(asked(server)).message) < 400


@pytest.mark.parametrize("problem", [BrokenPipeError("closed"), OSError(28, "full"), ValueError("bug")])
def test_what_the_listener_raises_is_none_of_the_wires_troubles(
    server: TestServer, problem: Exception
) -> None:
    """A closed pipe or a full disk is not the provider's fault, and must not be retried as one."""

    def on_text(text: str) -> None:
        raise problem

    with pytest.raises(type(problem)) as caught:
        send(asked(server, on_text))
    assert caught.value is problem


def test_a_listener_gets_a_whole_document_in_one_piece(server: TestServer) -> None:
    """Some servers do not stream; an empty text is nothing to show, so it may still be tried again."""
    body = {"choices": [{"message": {"content": "all"}, "finish_reason": "stop"}]}
    server.script(queue=["body:" + orjson.dumps(body).decode(), "html"])
    shown: list[str] = []
    assert send(asked(server, shown.append)).text == "all"
    assert shown == ["all"]
    failure(asked(server, shown.append))
    assert shown == ["all"]


def test_a_stream_that_is_cut_after_its_finish_is_whole(server: TestServer) -> None:
    """Nothing is missing that was paid for."""
    events = [
        {"choices": [{"delta": {"content": "all"}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    ]
    stream = b"".join(b"data: %b\n\n" % orjson.dumps(event) for event in events)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n"

    async def work(wire: Wire) -> Response:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head + stream)
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(talk, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            request = asked(f"http://127.0.0.1:{port}", lambda text: None)
            return await HttpProvider(wire, OpenAICodec(request.target)).send(request, None)

    response = using(work)
    assert (response.text, response.finish_reason, response.usage.estimated) == ("all", "stop", True)


def test_a_proxy_is_used_by_scheme(server: TestServer, other_server: TestServer) -> None:
    """Companies let nothing out but through theirs."""
    call = HttpCall("http://provider.invalid/v1/chat/completions", {}, b"{}")

    async def work(wire: Wire) -> None:
        with pytest.raises(LlmctlError):
            await wire.post(call, asked(server))

    using(work, gate=Gate(environ={"HTTP_PROXY": other_server.url}))
    assert [entry["headers"]["host"] for entry in other_server.log()] == ["provider.invalid"]
    assert server.log() == []
