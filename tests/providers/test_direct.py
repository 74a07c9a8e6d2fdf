"""Posting without a session: connections are used again, time limits ring, headers cannot be smuggled."""

from __future__ import annotations

import asyncio

import pytest

from llmctl.core.ports import HttpAnswer, HttpCall
from llmctl.providers.direct import FEW_LOST, Direct, Dropped, Reply, Watch, Way

from ..server.client import TestServer

BODY = b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}'

HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer x"}


class Waiter:
    """Remembers what it was told."""

    told: BaseException | None = None

    def set_exception(self, exc: BaseException, /) -> None:
        self.told = exc


def test_a_watch_rings_for_what_is_late_and_for_nothing_else() -> None:
    """One timer serves all limits, the earlier ones that come later among them."""

    async def go() -> tuple[Waiter, ...]:
        loop = asyncio.get_running_loop()
        watch = Watch(loop)
        early, late, done = Waiter(), Waiter(), Waiter()
        watch.set(late, loop.time() + 60)
        watch.set(done, loop.time() + 0.01)
        watch.set(early, loop.time() + 0.005)
        watch.call_off(done)
        await asyncio.sleep(0.05)
        return early, late, done

    early, late, done = asyncio.run(go())
    assert type(early.told) is TimeoutError
    assert (late.told, done.told) == (None, None)


def test_a_watch_goes_on_after_it_has_rung() -> None:
    """What is due after the first ring is not forgotten."""

    async def go() -> tuple[Waiter, Waiter]:
        loop = asyncio.get_running_loop()
        watch = Watch(loop)
        first, second = Waiter(), Waiter()
        watch.set(first, loop.time() + 0.005)
        watch.set(second, loop.time() + 0.02)
        await asyncio.sleep(0.06)
        return first, second

    assert all(type(each.told) is TimeoutError for each in asyncio.run(go()))


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "a\rb"])
def test_a_header_cannot_begin_another(value: str) -> None:
    """A profile's header is data, also where it holds a line break."""

    async def go() -> bytes:
        from aiohttp import ClientSession

        async with ClientSession() as session:
            return Way(session, "http://127.0.0.1:1/v1").head({"X-Own": value}, 3)

    with pytest.raises(ValueError, match="line break"):
        asyncio.run(go())


def test_a_connection_is_used_again(server: TestServer) -> None:
    """One connection serves plain answers and others in turn; a new one each would cost more than asking."""

    async def go() -> list[bytes]:
        from aiohttp import ClientSession, ClientTimeout

        texts = []
        async with ClientSession() as session:
            direct = Direct(session)
            for whole in (True, True, False, True, False, False, True):
                until = asyncio.get_running_loop().time() + 5
                call = HttpCall(server.openai + "/chat/completions", HEADERS, BODY)
                if whole:
                    answer = await direct.post(call, ClientTimeout(), until, whole=True)
                    assert isinstance(answer, HttpAnswer)
                    texts.append(answer.body)
                    continue
                reply = await direct.post(call, ClientTimeout(), until, whole=False)
                assert isinstance(reply, Reply)
                texts.append(await reply.content.read())
                reply.release()
            direct.close()
        return texts

    assert [b'"content"' in text for text in asyncio.run(go())] == [True] * 7
    assert server.stats()["connections"] == 1


def test_a_body_left_unread_ends_its_connection(server: TestServer) -> None:
    """What is left of one answer must never be taken for the next one."""

    async def go() -> int:
        from aiohttp import ClientSession, ClientTimeout

        async with ClientSession() as session:
            direct = Direct(session)
            for _ in range(3):
                until = asyncio.get_running_loop().time() + 5
                call = HttpCall(server.openai + "/chat/completions", HEADERS, BODY)
                reply = await direct.post(call, ClientTimeout(), until, whole=False)
                assert isinstance(reply, Reply)
                reply.close()
            return len(direct._ways[call.url].idle)

    assert asyncio.run(go()) == 0
    assert server.stats()["connections"] == 3


def test_a_server_that_hangs_up_unannounced_soon_gets_new_connections() -> None:
    """Some close what they promised to keep: a few requests are lost to that, not every second one."""

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(BODY)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await reader.read(1)
        writer.close()

    async def go() -> list[str]:
        from aiohttp import ClientSession, ClientTimeout

        ends = []
        serving = await asyncio.start_server(answer_once, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}/v1"
        async with serving, ClientSession() as session:
            direct = Direct(session)
            for _ in range(20):
                until = asyncio.get_running_loop().time() + 5
                try:
                    reply = await direct.post(HttpCall(url, {}, BODY), ClientTimeout(), until, whole=True)
                except Dropped:
                    ends.append("dropped")
                    continue
                assert isinstance(reply, HttpAnswer)
                ends.append(reply.body.decode())
            direct.close()
        return ends

    ends = asyncio.run(go())
    assert ends.count("dropped") == FEW_LOST + 1
    assert set(ends[-10:]) == {"{}"}


def test_a_profiles_header_replaces_our_own() -> None:
    """Twice, servers refuse it: a gateway is often asked for under another host's name."""

    async def go() -> bytes:
        from aiohttp import ClientSession

        async with ClientSession() as session:
            return Way(session, "http://127.0.0.1:1/v1").head({"host": "inner", "ACCEPT": "text/plain"}, 3)

    fields = [line.partition(b": ") for line in asyncio.run(go()).split(b"\r\n")[1:-2]]
    names = sorted(name.lower() for name, _, _ in fields)
    assert names == [b"accept", b"accept-encoding", b"content-length", b"host"]
    assert (b"host", b": ", b"inner") in fields
