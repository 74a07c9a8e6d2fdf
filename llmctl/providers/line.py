"""One connection: whole plain answers are read here, every other one by aiohttp's own parser.

A plain answer is what a server says to most short questions: HTTP/1.1, status 200, a length, a body as
it is, all in one piece. It is told by one expression that takes nothing else; whatever does not match,
from its first byte on, is aiohttp's to judge.
"""

from __future__ import annotations

import asyncio
import re
import select
from typing import TYPE_CHECKING, Any

from aiohttp.streams import StreamReader

from llmctl.core.ports import HttpAnswer

if TYPE_CHECKING:
    from aiohttp.connector import Connection

HEAD = re.compile(rb"HTTP/1\.1 200(?: [^\r\n\0]*)?((?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*)+)\r\n\r\n")
"""RFC 9112, section 2.1: a status line and fields, none of them folded."""
FIELD = re.compile(r"\r\n([^:]+):([^\r]*)")
UNPLAIN = frozenset({"transfer-encoding", "content-encoding", "upgrade", "trailer"})
"""Fields that say that the body is not what stands behind the head."""
DIGITS = 15
LONGEST_LINE = 65_536
HUNG_UP = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


class Line(asyncio.Protocol):
    """A connection of aiohttp's, with this between its transport and its protocol."""

    def __init__(self, connection: Connection) -> None:
        """ConnectionResetError where the connection is lost already."""
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or not isinstance(transport, asyncio.Transport):
            raise ConnectionResetError("the connection was lost before it was used")
        self._connection = connection
        self._protocol = protocol
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[HttpAnswer | None] | None = None
        self._mixed = False
        """Whether its protocol has been given any data."""
        self._asked = False
        """Whether an answer is to come, or the rest of one."""
        self.heard = False
        """Whether anything of the answer that is waited for has come."""
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), HUNG_UP | select.POLLIN)
        transport.set_protocol(self)

    def ask(self, request: bytes) -> asyncio.Future[HttpAnswer | None]:
        """Sends a request. Waits for the whole answer, where it is plain; None: `head` has to be awaited."""
        waiter = self._waiter = self._loop.create_future()
        self._asked, self.heard = True, False
        self._transport.write(request)
        return waiter

    def begin(self, request: bytes) -> None:
        """Sends a request whose answer is to be read as it comes, from `head` on."""
        self._hand_over()
        self._asked, self.heard = True, False
        self._transport.write(request)

    def rest(self) -> None:
        """Its answer has been read to its end; what comes before the next request was not asked for."""
        self._asked = False

    async def head(self) -> tuple[Any, StreamReader]:
        """The head of an answer that is not plain, and its body as it comes. Raises what aiohttp raises."""
        message, content = await self._protocol.read()
        while 100 <= message.code < 200 and message.code != 101:  # interim ones are passed over
            message, content = await self._protocol.read()
        return message, content

    def is_kept(self) -> bool:
        """Whether the other side keeps it open, as far as is known."""
        if self._transport.is_closing() or self._transport.get_write_buffer_size():
            return False  # lost, or answered before its request was sent whole
        return not (self._mixed and self._protocol.should_close)

    def is_fit(self) -> bool:
        """Whether it can be used again; not where the other side has hung up, or said what nobody asked.

        The event loop may not have got round to seeing that.
        """
        return self.is_kept() and not self._poll.poll(0)

    def close(self) -> None:
        self._connection.close()

    def set_exception(self, error: BaseException, /) -> None:
        """What is waited for has taken too long."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            if not waiter.done():
                waiter.set_exception(error)
        elif self._asked:  # else a plain answer has come in the same turn: the next one must not hear of it
            self._protocol.set_exception(error)

    # What the transport calls.

    def data_received(self, data: bytes) -> None:
        if not self._asked:
            self._transport.abort()  # whatever it is, it would be kept for as long as the line rests
            return
        self.heard = True
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            self._mixed = True
            self._protocol.data_received(data)
            return
        answer = plain(data)
        if answer is None:
            self._hand_over()
            self._protocol.data_received(data)
        else:
            self._asked = False
        if not waiter.done():
            waiter.set_result(answer)

    def eof_received(self) -> None:
        self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._mixed = True
        self._protocol.connection_lost(exc)
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def _hand_over(self) -> None:
        self._mixed = True
        self._protocol.set_response_params(
            read_until_eof=True, max_line_size=LONGEST_LINE, max_field_size=LONGEST_LINE
        )


def plain(data: bytes) -> HttpAnswer | None:
    """The answer where `data` is a plain one, whole and with nothing behind it; else None."""
    head = HEAD.match(data)
    if head is None or head.end() > LONGEST_LINE:
        return None
    fields = FIELD.findall(head[1].decode("utf-8", "surrogateescape"))
    headers = {name.lower(): value.strip(" \t") for name, value in fields}
    length = headers.get("content-length", "")
    if (
        len(headers) < len(fields)
        or not UNPLAIN.isdisjoint(headers)
        or headers.get("connection", "keep-alive").lower() != "keep-alive"
        or not (length.isascii() and length.isdigit() and len(length) <= DIGITS)
        or len(data) - head.end() != int(length)
    ):
        return None
    return HttpAnswer(headers, data[head.end() :])
