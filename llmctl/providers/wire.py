"""One aiohttp session for the whole run: posts, streams, time limits, size caps.

Never follows a redirect, keeps no cookies, and reads at most `max_bytes` of an answer.
Every failure of the network leaves here as one of our errors (`providers.classify`); what the
reader of a stream raises itself, such as a closed pipe, is none of those and passes as it is.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from llmctl.core.errors import Billed, LlmctlError, OversizedAnswer, ProviderTimeout
from llmctl.core.model import Request
from llmctl.core.ports import HttpAnswer, HttpCall
from llmctl.providers import classify, events
from llmctl.providers.gate import LOOKED_UP_S, Gate

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession, ClientTimeout
    from yarl import URL

    from llmctl.providers.direct import Direct, Reply, Watch

ERROR_BYTES = 65_536
TICK = 0.001
"""Seconds by which a timer may be early."""


class Wire:
    """The only place that speaks HTTP to providers. `gate` says where to, and by which proxy."""

    def __init__(self, max_bytes: int, gate: Gate | None = None) -> None:
        self.max_bytes = max_bytes
        self.gate = gate or Gate()
        self._session: ClientSession | None = None
        self._direct: Direct | None = None
        self._straight: dict[str, Direct] = {}
        """By address, where it is admitted and no proxy stands before it."""

    def open(self) -> None:
        """Loads the HTTP client, which takes longer than a request."""
        self._opened_session()

    async def close(self) -> None:
        if self._direct is not None:
            self._straight.clear()
            self._direct.close()
            self._direct = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, call: HttpCall, request: Request) -> HttpAnswer:
        """The whole answer of a 200; every other outcome is raised."""
        limits = Limits(request)
        direct = self._straight.get(call.url)
        if direct is None or call.method != "POST":
            head = await self._head(call, limits, whole=True)
        else:
            try:
                head = await direct.post(call, limits.connect(), limits.until_first(), whole=True)
            except _troubles() as error:
                raise limits.failure(error, "first", started=False) from None
        if isinstance(head, HttpAnswer):
            if len(head.body) > self.max_bytes:
                raise limits.oversized(self.max_bytes)
            return head
        stream = await self._opened(head, limits)
        try:
            return HttpAnswer(stream.headers, await stream.whole())
        finally:
            stream.close()

    @asynccontextmanager
    async def stream(self, call: HttpCall, request: Request) -> AsyncIterator[Stream]:
        """A 200 that is read as it comes. A connection that was not read to its end is not used again."""
        limits = Limits(request)
        head = await self._head(call, limits, whole=False)
        assert not isinstance(head, HttpAnswer)
        stream = await self._opened(head, limits)
        try:
            yield stream
        finally:
            stream.close()

    async def _opened(self, response: ClientResponse | Reply, limits: Limits) -> Stream:
        stream = Stream(response, limits, self.max_bytes, self._opened_session()[1].watch)
        if response.status == 200:
            return stream
        try:
            body = await stream.error_body()
        finally:
            stream.close()
        raise classify.from_status(response.status, stream.headers, body, limits.model)

    async def _head(
        self, call: HttpCall, limits: Limits, *, whole: bool
    ) -> ClientResponse | Reply | HttpAnswer:
        """Sends the request and waits for the answer's head; with `whole` for all of it, if it is plain."""
        is_new = self.gate.admit(call.url)
        session, direct = self._opened_session()  # loads aiohttp the first time: not the provider's delay
        if is_new:
            connector: Any = session.connector
            connector.clear_dns_cache()  # what was known of the host by https is judged anew
        proxy = self.gate.proxy(call.url)
        until = limits.until_first()
        try:
            if call.method == "POST" and proxy is None:
                self._straight[call.url] = direct
                return await direct.post(call, limits.connect(), until, whole=whole)
            import asyncio

            async with asyncio.timeout_at(until):
                return await session.request(
                    call.method,
                    address(call.url),
                    data=call.body or None,
                    headers=call.headers,
                    allow_redirects=False,
                    proxy=proxy,
                    timeout=limits.connect(),
                )
        except _troubles() as error:
            raise limits.failure(error, "first", started=False) from None

    def _opened_session(self) -> tuple[ClientSession, Direct]:
        if self._session is None or self._direct is None:
            from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

            from llmctl.providers.direct import Direct
            from llmctl.providers.line import LONGEST_LINE
            from llmctl.providers.lookup import Lookup

            resolver: Any = Lookup(self.gate.plain)  # its methods are all that aiohttp asks for
            self._session = ClientSession(
                connector=TCPConnector(
                    limit=0, ttl_dns_cache=LOOKED_UP_S, resolver=resolver, ssl=self.gate.tls()
                ),
                cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=None),
                skip_auto_headers=("User-Agent", "Content-Type"),
                max_line_size=LONGEST_LINE,
                max_field_size=LONGEST_LINE,
            )
            self._direct = Direct(self._session)
        return self._session, self._direct


class Stream:
    """One answer's body: read whole, in chunks as they come, or event by event."""

    def __init__(
        self, response: ClientResponse | Reply, limits: Limits, max_bytes: int, watch: Watch
    ) -> None:
        self._response = response
        self._watch = watch
        self._content = response.content
        self._limits = limits
        self._max_bytes = max_bytes
        self._size = 0
        self.headers = {name.lower(): value for name, value in response.headers.items()}

    @property
    def is_whole(self) -> bool:
        """Whether the server sent one document although a stream was asked for."""
        return self._response.content_type in ("application/json", "text/html")

    def close(self) -> None:
        """Back to the pool, where it was read to its end."""
        if self._content.at_eof():
            self._response.release()
        else:
            self._response.close()

    async def whole(self) -> bytes:
        chunks: list[bytes] = []
        while not self._content.at_eof():
            chunks.append(await self._read())
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def events(self) -> AsyncIterator[bytes]:
        """Each event's data."""
        parser = events.Parser()
        while not self._content.at_eof():
            for data in parser.feed(await self._read()):
                yield data

    async def error_body(self) -> bytes:
        """As much of an error's body as helps; an error whose body fails is still that error."""
        body = b""
        try:
            while len(body) < ERROR_BYTES and not self._content.at_eof():
                body += await self._read()
        except LlmctlError:
            return body
        return body

    async def _read(self) -> bytes:
        """What has come, waited for if nothing has; nothing at the end."""
        try:
            if self._content.is_eof():  # all of it is here: nothing to wait for
                chunk = self._content.read_nowait()
            else:
                chunk = await self._waited()
        except _troubles() as error:
            raise self._limits.failure(error, "idle", started=True) from None
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise self._limits.oversized(self._max_bytes)
        return chunk

    async def _waited(self) -> bytes:
        until = self._limits.until(self._limits.timeouts.idle)
        self._watch.set(self._content, until)
        try:
            return await self._content.readany()
        finally:
            self._watch.call_off(self._content)


class Limits:
    """The time limits of one attempt; none reaches beyond the call's deadline."""

    def __init__(self, request: Request) -> None:
        self.timeouts = request.target.timeouts
        self.deadline = request.deadline
        self.model = request.target.model

    def connect(self) -> ClientTimeout:
        return connect_timeout(self.timeouts.connect)

    def until_first(self) -> float:
        """When the answer's head has to be there."""
        return self.until(self.timeouts.first)

    def until(self, seconds: float) -> float:
        """When a wait that begins now has to end, by the event loop's clock (the monotonic one)."""
        until = time.monotonic() + seconds
        return until if self.deadline is None or until < self.deadline else self.deadline

    def failure(self, error: Exception, what: str, *, started: bool) -> LlmctlError:
        """Ours for what went wrong while waiting for the first byte (`first`) or the next (`idle`)."""
        if type(error).__name__ in ("ConnectionTimeoutError", "SocketTimeoutError"):
            soonest = "first" if self.timeouts.first < self.timeouts.connect else "connect"
            return self._timeout("total" if self._is_over() else soonest, "no connection within", "no")
        if type(error) is TimeoutError:
            if self._is_over():
                return self._timeout("total", "no whole answer within", "unknown")
            said = "the answer stalled for" if started else "no answer within"
            return self._timeout(what, said, "unknown")
        return classify.from_exception(error, self.model, sent=True, started=started)

    def _is_over(self) -> bool:
        return self.deadline is not None and self.deadline - time.monotonic() < TICK

    def oversized(self, most: int) -> LlmctlError:
        """Ours for an answer over `most` bytes."""
        said = f"{self.model}: the answer is larger than {most:,} bytes (max_answer_bytes)"
        return OversizedAnswer(said, billed="unknown")

    def _timeout(self, what: str, said: str, billed: Billed) -> ProviderTimeout:
        seconds: float = getattr(self.timeouts, what)
        hint = "raise it in the profile, or try again later"
        message = f"{self.model}: {said} {seconds:g} s (timeout.{what})"
        return ProviderTimeout(message, hint=hint, billed=billed)


@lru_cache
def connect_timeout(seconds: float) -> ClientTimeout:
    from aiohttp import ClientTimeout

    return ClientTimeout(total=None, connect=seconds, sock_connect=seconds)


@lru_cache
def address(url: str) -> URL:
    """A URL parsed once: a batch asks the same one a million times."""
    from yarl import URL

    return URL(url)


@cache
def _troubles() -> tuple[type[Exception], ...]:
    """What the network and aiohttp raise; named when something was raised, since aiohttp loads late."""
    from aiohttp import ClientError
    from aiohttp.http_exceptions import HttpProcessingError

    return OSError, ValueError, EOFError, ClientError, HttpProcessingError
