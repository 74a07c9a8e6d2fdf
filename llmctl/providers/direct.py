"""Posts over aiohttp's connections, without what its session does around each request.

A session serves every kind of request; that is half of what a short call costs. Here is one kind: a
body that is at hand, no redirect, no cookies, no proxy. Connecting (names, TLS, happy eyeballs) stays
aiohttp's, and so does reading and unpacking what is not plain (`providers.line`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import inf
from typing import Any, Protocol

from aiohttp import ClientConnectionError, ClientRequest, ClientSession, ClientTimeout, ConnectionTimeoutError
from aiohttp.streams import StreamReader
from yarl import URL

from llmctl.core.headers import together
from llmctl.core.ports import HttpAnswer, HttpCall
from llmctl.providers.line import Line

IDLE_S = 15.0
"""A connection that was not used for so long is not trusted any more, as in aiohttp's own pool."""
FEW_LOST = 3
RARE = 20
"""Connections are used again while of those that were at most FEW_LOST, and one in RARE, were lost."""
LOST_FOR_S = 60.0
"""How long a way remembers that."""
LOST = (ClientConnectionError, OSError)
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


class Dropped(ClientConnectionError):
    """The server hung up on a connection that had served before, without a byte of this answer."""


class Reply:
    """An answer's head, and its body as it comes: what a `ClientResponse` is to the wire."""

    def __init__(self, pool: Direct, way: Way, line: Line, message: Any, body: StreamReader) -> None:
        self.status: int = message.code
        self.headers: Mapping[str, str] = message.headers
        self.content = body
        self._pool = pool
        self._way = way
        self._line: Line | None = line

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def release(self) -> None:
        """The body was read to its end: the connection may be used again."""
        if self._line is not None:
            self._pool.put_back(self._way, self._line)
            self._line = None

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


class Way:
    """One address: how to connect to it, what every request to it begins with, and idle connections."""

    def __init__(self, session: ClientSession, url: str) -> None:
        address = URL(url)
        self.request = ClientRequest("POST", address, loop=asyncio.get_running_loop(), session=session)
        self._start = f"POST {address.raw_path_qs} HTTP/1.1\r\n"
        host = self.request.headers["Host"]
        self._own = {"Host": host, "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
        self.idle: list[tuple[Line, float]] = []
        self._kept = self._lost = 0
        self._lost_at = 0.0
        self._fields: tuple[Mapping[str, str], str] = {}, ""

    def head(self, headers: Mapping[str, str], length: int) -> bytes:
        """A request's head, with `headers` before our own. ValueError for one that would end it early."""
        known, lines = self._fields
        if not lines or (headers is not known and headers != known):
            every = together(self._own, headers)
            lines = "".join(f"{name}: {value}\r\n" for name, value in every.items())
            if lines.count("\r") != len(every) or lines.count("\n") != len(every) or "\0" in lines:
                raise ValueError("a header holds a line break")
            self._fields = headers, lines
        return f"{self._start}{lines}Content-Length: {length}\r\n\r\n".encode()

    def kept(self) -> None:
        """A connection that was used again has brought an answer."""
        self._kept += 1

    def lost(self, now: float) -> None:
        """One was hung up on. Those that wait are as old as it was."""
        self._lost += 1
        self._lost_at = now
        self.drop()

    def keeps(self, now: float) -> bool:
        """Whether using connections again does more good than harm: some servers hang up unannounced."""
        if self._lost and now - self._lost_at > LOST_FOR_S:
            self._lost = 0
        return self._lost <= FEW_LOST + self._kept // RARE

    def drop(self) -> None:
        while self.idle:
            self.idle.pop()[0].close()


class Direct:
    """The connections of one session. `watch` holds the time limits of what is waited for."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._ways: dict[str, Way] = {}
        self.watch = Watch(self._loop)

    async def post(
        self, call: HttpCall, connect: ClientTimeout, until: float, *, whole: bool
    ) -> HttpAnswer | Reply:
        """The answer's head, at most `until` (the loop's seconds). Raises what aiohttp raises.

        With `whole` the answer itself, where it is plain: then nobody wants it as it comes.
        """
        way = self._ways.get(call.url)
        if way is None:
            way = self._ways[call.url] = Way(self._session, call.url)
        sent = way.head(call.headers, len(call.body)) + call.body
        again = self._idle(way)
        if again is not None and until <= self._loop.time():
            self.put_back(way, again)
            raise ConnectionTimeoutError(f"No time left to ask {call.url}")  # sent, it would be paid in vain
        line = again or await self._connect(way, connect, until)
        self.watch.set(line, until)
        answer: HttpAnswer | None = None
        try:
            if whole:
                answer = await line.ask(sent)
            else:
                line.begin(sent)
            reply = answer or Reply(self, way, line, *await line.head())
        except BaseException as error:
            line.close()
            if again and not line.heard and isinstance(error, LOST) and not isinstance(error, TimeoutError):
                way.lost(self._loop.time())
                raise Dropped("the server hung up on a connection that was kept open") from error
            raise
        finally:
            self.watch.call_off(line)
        if again is not None:
            way.kept()
        if answer is not None:
            self.put_back(way, line)
        return reply

    def _idle(self, way: Way) -> Line | None:
        now = self._loop.time()
        while way.idle:
            line, since = way.idle.pop()
            if now - since < IDLE_S and line.is_fit():
                return line
            line.close()
        return None

    async def _connect(self, way: Way, connect: ClientTimeout, until: float) -> Line:
        assert self._session.connector is not None
        try:
            async with asyncio.timeout_at(until):
                connection = await self._session.connector.connect(way.request, traces=[], timeout=connect)
        except TimeoutError:  # whichever limit it was: nothing has been sent
            raise ConnectionTimeoutError(f"Connection timeout to host {way.request.url}") from None
        try:
            return Line(connection)
        except BaseException:
            connection.close()
            raise

    def put_back(self, way: Way, line: Line) -> None:
        now = self._loop.time()
        if way.keeps(now) and line.is_kept():
            line.rest()
            way.idle.append((line, now))
        else:
            line.close()

    def close(self) -> None:
        for way in self._ways.values():
            way.drop()
