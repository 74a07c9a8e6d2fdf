"""One aiohttp session for the whole run: posts, streams, time limits, size caps.

Never follows a redirect, keeps no cookies, and reads at most `max_bytes` of an answer.
Every failure leaves here as one of our errors (`providers.classify`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmctl.core.errors import Billed, OversizedAnswer, ProviderTimeout
from llmctl.core.model import Request
from llmctl.core.ports import HttpCall
from llmctl.providers import classify, events

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession, ClientTimeout

ERROR_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Answer:
    """A 200 with its headers (lower-case names) and its whole body."""

    headers: Mapping[str, str]
    body: bytes


class Wire:
    """The only place that speaks HTTP to providers. `proxies` maps scheme to proxy URL."""

    def __init__(self, max_bytes: int, proxies: Mapping[str, str] | None = None) -> None:
        self.max_bytes = max_bytes
        self.proxies = proxies or {}
        self._session: ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, call: HttpCall, request: Request) -> Answer:
        """The whole answer of a 200; every other outcome is raised."""
        async with self._opened(call, request) as (response, limits):
            body = await self._body(response, limits, request)
            return Answer(_headers(response), body)

    @asynccontextmanager
    async def stream(self, call: HttpCall, request: Request) -> AsyncIterator[Stream]:
        """An answer that is read event by event."""
        async with self._opened(call, request) as (response, limits):
            yield Stream(response, limits, request, self.max_bytes)

    @asynccontextmanager
    async def _opened(self, call: HttpCall, request: Request) -> AsyncIterator[tuple[ClientResponse, Limits]]:
        limits = Limits(request)
        sent = started = False
        response: ClientResponse | None = None
        try:
            session = self._open_session()
            sent = True
            async with limits.waiting("first"):
                response = await session.post(
                    call.url,
                    data=call.body,
                    headers=call.headers,
                    allow_redirects=False,
                    proxy=self._proxy(call.url),
                    timeout=limits.connect(),
                )
            started = True
            if response.status != 200:
                body = await self._error_body(response, limits)
                raise classify.from_status(response.status, _headers(response), body, request.target.model)
            yield response, limits
        except (OSError, ValueError, EOFError, _client_error()) as error:
            raise classify.from_exception(error, request.target.model, sent=sent, started=started) from None
        finally:
            if response is not None:
                response.release() if response.content.at_eof() else response.close()

    def _open_session(self) -> ClientSession:
        if self._session is None:
            from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

            self._session = ClientSession(
                connector=TCPConnector(limit=0, ttl_dns_cache=60),
                cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=None),
                skip_auto_headers=("User-Agent", "Content-Type"),
                max_line_size=65_536,
                max_field_size=65_536,
            )
        return self._session

    def _proxy(self, url: str) -> str | None:
        return self.proxies.get(url.partition(":")[0]) if self.proxies else None

    async def _body(self, response: ClientResponse, limits: Limits, request: Request) -> bytes:
        chunks: list[bytes] = []
        size = 0
        content = response.content
        while not content.at_eof():
            async with limits.waiting("idle"):
                chunk = await content.readany()
            size += len(chunk)
            if size > self.max_bytes:
                raise oversized(self.max_bytes, request)
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _error_body(self, response: ClientResponse, limits: Limits) -> bytes:
        """As much of an error's body as helps; an error whose body fails is still that error."""
        body = b""
        try:
            while len(body) < ERROR_BYTES and not response.content.at_eof():
                async with limits.waiting("idle"):
                    body += await response.content.readany()
        except (OSError, ValueError, _client_error(), ProviderTimeout):
            return body
        return body


class Stream:
    """The events of one answer. `events` yields each event's data as bytes."""

    def __init__(self, response: ClientResponse, limits: Limits, request: Request, max_bytes: int) -> None:
        self._response = response
        self._limits = limits
        self._request = request
        self._max_bytes = max_bytes
        self.headers = _headers(response)

    @property
    def is_whole(self) -> bool:
        """Whether the server sent one document although a stream was asked for."""
        return self._response.content_type in ("application/json", "text/html")

    async def chunks(self) -> AsyncIterator[bytes]:
        content = self._response.content
        size = 0
        while not content.at_eof():
            async with self._limits.waiting("idle"):
                chunk = await content.readany()
            size += len(chunk)
            if size > self._max_bytes:
                raise oversized(self._max_bytes, self._request)
            if chunk:
                yield chunk

    async def events(self) -> AsyncIterator[bytes]:
        parser = events.Parser()
        async for chunk in self.chunks():
            for data in parser.feed(chunk):
                yield data


class Limits:
    """The time limits of one attempt; none reaches beyond the call's deadline."""

    def __init__(self, request: Request) -> None:
        self.timeouts = request.target.timeouts
        self.deadline = request.deadline
        self.model = request.target.model

    def connect(self) -> ClientTimeout:
        from aiohttp import ClientTimeout

        return ClientTimeout(total=None, sock_connect=self.timeouts.connect)

    @asynccontextmanager
    async def waiting(self, what: str) -> AsyncIterator[None]:
        import asyncio

        seconds: float = getattr(self.timeouts, what)
        until = time.monotonic() + seconds  # the event loop's own clock
        hit_total = self.deadline is not None and self.deadline <= until
        try:
            async with asyncio.timeout_at(self.deadline if hit_total else until):
                yield
        except TimeoutError as error:
            raise self._timeout(error, "total" if hit_total else what, seconds) from None

    def _timeout(self, error: TimeoutError, what: str, seconds: float) -> ProviderTimeout:
        if type(error).__name__ in ("ConnectionTimeoutError", "SocketTimeoutError"):
            what, seconds = "connect", self.timeouts.connect
        if what == "total":
            seconds = self.timeouts.total
        said = {
            "connect": "no connection",
            "first": "no answer",
            "idle": "the answer stalled",
            "total": "no answer",
        }
        billed: Billed = "no" if what == "connect" else "unknown"
        return ProviderTimeout(
            f"{self.model}: {said[what]} within {seconds:g} s (timeout.{what})", billed=billed
        )


def oversized(cap: int, request: Request) -> OversizedAnswer:
    return OversizedAnswer(
        f"{request.target.model}: the answer is larger than {cap:,} bytes (max_answer_bytes)", billed="yes"
    )


def _headers(response: ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _client_error() -> type[Exception]:
    from aiohttp import ClientError

    return ClientError
