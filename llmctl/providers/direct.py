"""Posts over aiohttp's connections and its parser, without what its session does around each request.

A session serves every kind of request; that is half of what a short call costs. Here is one kind: a
body that is at hand, no redirect, no cookies, no proxy. Connecting (names, TLS, happy eyeballs),
reading and unpacking stay aiohttp's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import inf
from typing import Any, Protocol

from aiohttp import ClientRequest, ClientSession, ClientTimeout, ConnectionTimeoutError
from aiohttp.connector import Connection
from aiohttp.streams import StreamReader
from yarl import URL

IDLE_S = 15.0
"""A connection that was not used for so long is not trusted any more, as in aiohttp's own pool."""
LONGEST_LINE = 65_536
TICK_S = 0.001
"""A timer may ring that much early."""


class Waiting(Protocol):
    """What somebody waits at, and can be told that it was too long."""

    def set_exception(self, exc: BaseException, /) -> None: ...


class Watch:
    """Many time limits with one timer: what is not called off in time gets a TimeoutError."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: dict[Waiting, float] = {}
        self._next = inf
        self._timer: asyncio.TimerHandle | None = None

    def set(self, what: Waiting, due: float) -> None:
        """`due` in the loop's seconds."""
        self._due[what] = due
        if due < self._next:
            self._ring_at(due)

    def call_off(self, what: Waiting) -> None:
        self._due.pop(what, None)

    def _ring_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = due
        self._timer = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        now = self._loop.time() + TICK_S
        for what in [what for what, due in self._due.items() if due <= now]:
            del self._due[what]
            what.set_exception(TimeoutError())
        self._next, self._timer = inf, None
        if self._due:
            self._ring_at(min(self._due.values()))


class Reply:
    """An answer's head, and its body as it comes: what a `ClientResponse` is to the wire."""

    def __init__(
        self, pool: Direct, way: Way, connection: Connection, message: Any, body: StreamReader
    ) -> None:
        self.status: int = message.code
        self.headers: Mapping[str, str] = message.headers
        self.content = body
        self._pool = pool
        self._way = way
        self._connection: Connection | None = connection

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def release(self) -> None:
        """The body was read to its end: the connection may be used again."""
        if self._connection is not None:
            self._pool.put_back(self._way, self._connection)
            self._connection = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Way:
    """One address: how to connect to it, what every request to it begins with, and idle connections."""

    def __init__(self, session: ClientSession, url: str) -> None:
        address = URL(url)
        self.request = ClientRequest("POST", address, loop=asyncio.get_running_loop(), session=session)
        host = self.request.headers["Host"]
        self.start = (
            f"POST {address.raw_path_qs} HTTP/1.1\r\nHost: {host}\r\n"
            f"Accept: */*\r\nAccept-Encoding: gzip, deflate\r\n"
        )
        self.idle: list[tuple[Connection, float]] = []


class Direct:
    """The connections of one session. `watch` holds the time limits of what is waited for."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._ways: dict[str, Way] = {}
        self.watch = Watch(self._loop)

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, connect: ClientTimeout, until: float
    ) -> Reply:
        """Waits for the answer's head, at most `until` (the loop's seconds). Raises what aiohttp raises."""
        way = self._ways.get(url)
        if way is None:
            way = self._ways[url] = Way(self._session, url)
        sent = head(way, headers, len(body)) + body
        connection = self._idle(way) or await self._connect(way, connect, until)
        protocol, transport = connection.protocol, connection.transport
        assert protocol is not None
        try:
            if transport is None:
                raise ConnectionResetError("the connection was lost before it was used")
            protocol.set_response_params(
                read_until_eof=True, max_line_size=LONGEST_LINE, max_field_size=LONGEST_LINE
            )
            transport.write(sent)
            self.watch.set(protocol, until)
            message, content = await protocol.read()
            while 100 <= message.code < 200 and message.code != 101:  # interim ones are passed over
                message, content = await protocol.read()
        except BaseException:
            connection.close()
            raise
        finally:
            self.watch.call_off(protocol)
        return Reply(self, way, connection, message, content)

    def _idle(self, way: Way) -> Connection | None:
        now = self._loop.time()
        while way.idle:
            connection, since = way.idle.pop()
            protocol = connection.protocol
            if now - since < IDLE_S and protocol is not None and protocol.is_connected():
                return connection
            connection.close()
        return None

    async def _connect(self, way: Way, connect: ClientTimeout, until: float) -> Connection:
        assert self._session.connector is not None
        async with asyncio.timeout_at(until):
            try:
                return await self._session.connector.connect(way.request, traces=[], timeout=connect)
            except TimeoutError:
                raise ConnectionTimeoutError(f"Connection timeout to host {way.request.url}") from None

    def put_back(self, way: Way, connection: Connection) -> None:
        protocol = connection.protocol
        if protocol is None or protocol.should_close:
            connection.close()
        else:
            way.idle.append((connection, self._loop.time()))

    def close(self) -> None:
        for way in self._ways.values():
            for connection, _ in way.idle:
                connection.close()
            way.idle.clear()


def head(way: Way, headers: Mapping[str, str], length: int) -> bytes:
    """A request's head. ValueError for a header that would end it early."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if lines.count("\r") != len(headers) or lines.count("\n") != len(headers) or "\0" in lines:
        raise ValueError("a header holds a line break")
    return f"{way.start}{lines}Content-Length: {length}\r\n\r\n".encode()
