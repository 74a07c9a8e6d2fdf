"""A connection's plain answers: what is taken for one, what is left to aiohttp, what ends a connection."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ConnectionTimeoutError, ServerDisconnectedError
from hypothesis import given
from hypothesis import strategies as st

from llmctl.core.ports import HttpAnswer, HttpCall
from llmctl.providers.direct import Direct, Reply
from llmctl.providers.line import plain

from ..needs import lacking
from ..server.client import self_signed

OK = b"HTTP/1.1 200 OK\r\n"
BODY = b'{"a":1}'
CALL_BODY = b'{"messages":[]}'
HANG_UP = b""


def test_a_plain_answer_is_taken_whole() -> None:
    """Names come in small letters and values without the blanks around them, as aiohttp gives them."""
    found = plain(OK + b"Content-Type:  application/json \r\nX-Own:\r\nContent-Length: 7\r\n\r\n" + BODY)
    assert found == HttpAnswer({"content-type": "application/json", "x-own": "", "content-length": "7"}, BODY)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n" + BODY,
        b"HTTP/1.1 500 No\r\nContent-Length: 7\r\n\r\n" + BODY,
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 7\r\n\r\n" + BODY,
        OK + b"\r\n" + BODY,
        OK + b"Content-Length: 8\r\n\r\n" + BODY,
        OK + b"Content-Length: 6\r\n\r\n" + BODY,
        OK + b"Content-Length: 7\r\n\r\n" + BODY + OK,
        OK + b"Content-Length: 7\r\nContent-Length: 7\r\n\r\n" + BODY,
        OK + b"Content-Length: 7\r\ncontent-length: 2\r\n\r\n" + BODY,
        OK + b"Content-Length: +7\r\n\r\n" + BODY,
        OK + b"Content-Length: 7, 7\r\n\r\n" + BODY,
        OK + b"Content-Length : 7\r\n\r\n" + BODY,
        OK + b"Content-Length: 7\n\n" + BODY,
        OK + b"Content-Length: 7\r\n folded\r\n\r\n" + BODY,
        OK + b"Content-Length: 7\r\nX: a\0b\r\n\r\n" + BODY,
        OK + b"Content-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n" + BODY,
        OK + b"Content-Length: 7\r\nContent-Encoding: gzip\r\n\r\n" + BODY,
        OK + b"Content-Length: 7\r\nConnection: close\r\n\r\n" + BODY,
        OK + b"Content-Length: 7\r\nUpgrade: h2c\r\n\r\n" + BODY,
        OK + "Content-Length: \u0667\r\n\r\n".encode() + BODY,
        OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n" + BODY,
        OK + b"X: " + b"y" * 70_000 + b"\r\nContent-Length: 7\r\n\r\n" + BODY,
        OK[:9],
        b"",
    ],
)
def test_what_is_not_plain_is_left_to_the_parser(data: bytes) -> None:
    """Of a length that may be doubted, an answer could end where it does not: another's text would begin."""
    assert plain(data) is None


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_no_bytes_make_it_raise(data: bytes, fields: bytes) -> None:
    """It stands between the network and everything else: whatever comes, it says yes or no."""
    found = plain(OK + fields + b"\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
    assert found is None or found.body == data
    plain(data)


def exchange(answers: list[list[bytes]], work: Callable[[Direct, HttpCall], Any]) -> tuple[Any, int]:
    """What `work` gives against a server that says these pieces, an answer a request; its connections."""
    waiting, connections = iter(answers), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while await reader.readuntil(CALL_BODY):
                for piece in next(waiting):
                    if piece == HANG_UP:
                        writer.close()
                    writer.write(piece)
                    await asyncio.sleep(0.02)
        except asyncio.IncompleteReadError:
            writer.close()

    async def go() -> Any:
        from aiohttp import ClientSession

        serving = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}/v1"
        async with ClientSession() as session:
            direct = Direct(session)
            try:
                return await work(direct, HttpCall(url, {}, CALL_BODY))
            finally:
                direct.close()
                serving.close()

    return asyncio.run(go()), connections


async def ask(direct: Direct, call: HttpCall, seconds: float = 5) -> bytes:
    from aiohttp import ClientTimeout

    until = asyncio.get_running_loop().time() + seconds
    reply = await direct.post(call, ClientTimeout(), until, whole=True)
    if isinstance(reply, Reply):
        body = await reply.content.read()
        reply.release()
        return body
    return reply.body


def test_plain_and_other_answers_share_a_connection() -> None:
    """A piece that is missing, or chunks, are aiohttp's to read; afterwards a plain answer is read here."""
    whole = OK + b"Content-Length: 7\r\n\r\n" + BODY
    chunked = OK + b"Transfer-Encoding: chunked\r\n\r\n7\r\n" + BODY + b"\r\n0\r\n\r\n"
    answers = [[whole], [whole[:20], whole[20:]], [whole], [whole[:-3], whole[-3:]], [chunked], [whole]]

    async def work(direct: Direct, call: HttpCall) -> list[bytes]:
        return [await ask(direct, call) for _ in answers]

    assert exchange(answers, work) == ([BODY] * 6, 1)


@pytest.mark.parametrize("stray", [OK + b"Content-Length: 5\r\n\r\nwrong", b"x"])
def test_what_nobody_asked_for_is_never_an_answer(stray: bytes) -> None:
    """A server that answers twice would put its second answer in the place of the next question's."""
    whole = OK + b"Content-Length: 7\r\n\r\n" + BODY

    async def work(direct: Direct, call: HttpCall) -> list[bytes]:
        first = await ask(direct, call)
        await asyncio.sleep(0.1)
        return [first, await ask(direct, call), await ask(direct, call)]

    assert exchange([[whole, stray], [whole], [whole]], work) == ([BODY] * 3, 2)


@pytest.mark.parametrize("is_tls", [False, True])
def test_stray_bytes_that_wait_in_the_socket_are_seen(is_tls: bool, tmp_path: Path) -> None:
    """Also where the event loop was busy, and has not read them when the next question comes."""
    pair = self_signed(tmp_path) if is_tls else None
    if is_tls and pair is None:
        lacking("openssl is not installed")
    trusting = ssl.create_default_context(cafile=pair[0] if pair else None)
    whole = OK + b"Content-Length: 7\r\n\r\n" + BODY
    said = Event()

    def serve(listening: socket.socket) -> None:
        for stray in (OK + b"Content-Length: 5\r\n\r\nwrong", b""):
            connection, _ = listening.accept()
            if pair is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*pair)
                connection = context.wrap_socket(connection, server_side=True)
            connection.recv(4096)
            connection.sendall(whole)
            asked.wait(5)
            connection.sendall(stray)
            said.set()
            kept.append(connection)

    async def go(url: str) -> list[bytes]:
        from aiohttp import ClientSession, TCPConnector

        async with ClientSession(connector=TCPConnector(ssl=trusting)) as session:
            direct = Direct(session)
            first = await ask(direct, HttpCall(url, {}, CALL_BODY))
            asked.set()
            said.wait(5)  # the loop is busy meanwhile
            second = await ask(direct, HttpCall(url, {}, CALL_BODY))
            direct.close()
            return [first, second]

    asked, kept = Event(), list[socket.socket]()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = Thread(target=serve, args=(listening,), daemon=True)
        serving.start()
        assert asyncio.run(go(f"http{'s' if pair else ''}://127.0.0.1:{listening.getsockname()[1]}/v1")) == [
            BODY,
            BODY,
        ]
        serving.join(5)
    assert len(kept) == 2
    for connection in kept:
        connection.close()


WHOLE = OK + b"Content-Length: 7\r\n\r\n" + BODY


def test_what_nobody_asked_for_ends_a_line_that_rests() -> None:
    """A server that goes on talking would otherwise fill the memory until the next question."""

    async def work(direct: Direct, call: HttpCall) -> bool:
        await ask(direct, call)
        ((line, _),) = direct._ways[call.url].idle
        await asyncio.sleep(0.1)
        return line._transport.is_closing()

    assert exchange([[WHOLE, b"x" * 1000]], work) == (True, 1)


def test_half_a_head_is_no_hang_up() -> None:
    """Only where not a byte came is the next connection likely to do better, at no cost."""

    async def work(direct: Direct, call: HttpCall) -> type[BaseException]:
        await ask(direct, call)
        with pytest.raises(ClientConnectionError) as caught:
            await ask(direct, call)
        return caught.type

    assert exchange([[WHOLE], [OK[:12], HANG_UP]], work) == (ServerDisconnectedError, 1)


def test_an_answer_before_the_request_was_sent_whole_ends_the_connection() -> None:
    """The server takes what is left of the request for the next one, and its answer would be somebody's."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.write(WHOLE)  # and reads no more
        await asyncio.sleep(60)

    async def go() -> int:
        from aiohttp import ClientSession

        serving = await asyncio.start_server(refuse, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}/v1"
        async with ClientSession() as session:
            direct = Direct(session)
            await ask(direct, HttpCall(url, {}, b"p" * 20_000_000))
            kept = len(direct._ways[url].idle)
            direct.close()
            serving.close()
        return kept

    assert asyncio.run(go()) == 0


@pytest.mark.parametrize("second", [[WHOLE[:20], WHOLE[20:]], [b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE]])
def test_a_limit_that_passes_as_the_answer_comes_is_not_the_next_ones(second: list[bytes]) -> None:
    """A busy loop finds both in one turn; the answer counts, and the limit was nobody else's."""

    async def work(direct: Direct, call: HttpCall) -> bytes:
        await ask(direct, call)
        ((line, _),) = direct._ways[call.url].idle
        line.set_exception(TimeoutError())
        return await ask(direct, call)

    assert exchange([[WHOLE], second], work) == (BODY, 1)


def test_without_time_left_nothing_is_sent() -> None:
    """It would be paid for, and given up at once."""

    async def work(direct: Direct, call: HttpCall) -> bytes:
        await ask(direct, call)
        with pytest.raises(ConnectionTimeoutError):
            await ask(direct, call, -1)
        return await ask(direct, call)

    assert exchange([[WHOLE], [WHOLE]], work) == (BODY, 1)
