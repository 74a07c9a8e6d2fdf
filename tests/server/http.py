"""A lean HTTP/1.1 connection: takes requests one after another and plays the steps of each answer."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Protocol

from .request import Malformed, Request, take_request
from .wire import End, Pause, Step

LINGER_0 = struct.pack("ii", 1, 0)  # closing then sends RST in place of FIN


class Exchange(Protocol):
    """A request being answered."""

    @property
    def steps(self) -> list[Step]:
        """What to do to the socket."""

    @property
    def ends(self) -> bool:
        """Is the connection closed afterwards?"""

    def finished(self, *, played: bool) -> None:
        """Called once: all steps were played, or the client left before."""


class Connection(asyncio.Protocol):
    """One client. Requests are answered in turn; those without pauses without a task."""

    def __init__(self, answer: Callable[[Request, Connection], Exchange]) -> None:
        self._answer = answer
        self._buffer = bytearray()
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._drained = asyncio.Event()
        self._drained.set()
        self.counted = False  # as a connection, in the log

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)  # drained means: the kernel has it

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._exchange is None:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task:
            self._task.cancel()
        self._finish(played=False)

    def _next(self) -> None:
        try:
            request = take_request(self._buffer)
        except Malformed:
            self._transport.abort()
            return
        if request is None:
            return
        exchange = self._exchange = self._answer(request, self)
        steps = exchange.steps
        plain = [step for step in steps if isinstance(step, bytes)]
        if len(plain) == len(steps):
            self._transport.write(b"".join(plain))
            if self._drained.is_set():
                self._played()
                return
            steps = []  # all is written; what is left is to wait until the kernel has it
        self._task = asyncio.ensure_future(self._play(steps))

    async def _play(self, steps: list[Step]) -> None:
        for step in steps:
            if isinstance(step, bytes):
                self._transport.write(step)
                await self._drained.wait()
            elif isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            else:
                self._end(step)
                return
        await self._drained.wait()
        self._task = None
        self._played()

    def _played(self) -> None:
        ends = self._exchange is not None and self._exchange.ends
        self._finish(played=True)
        if ends:
            self._transport.close()
        elif self._buffer:
            asyncio.get_running_loop().call_soon(self._next)

    def _end(self, end: End) -> None:
        self._task = None
        self._finish(played=True)
        if end is End.CLOSE:
            self._transport.close()
            return
        raw: socket.socket = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
        self._transport.abort()

    def _finish(self, *, played: bool) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange:
            exchange.finished(played=played)
