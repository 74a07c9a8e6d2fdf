"""A batch in several processes: this one reads, keeps the journal and hands out rows; workers ask.

A worker is this command once more with an end of a socket pair. It has its own pipeline, ledger and
cache writer; budgets, limits and breakers hold for all of them through the state, as they do for
commands that run side by side. A worker that dies takes with it what it had in flight: those rows
stay pending, and the same command asks them again.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from llmctl.batch import frames
from llmctl.batch.ended import Ended, Stopped
from llmctl.batch.rows import Row
from llmctl.core.errors import LlmctlError
from llmctl.core.model import Request

if TYPE_CHECKING:
    from asyncio import Future, StreamReader, StreamWriter, Task

FAREWELL_S = 30.0
"""How long a worker may take to write what it has gathered, once nothing is in flight."""


class WorkerLost(LlmctlError):
    """A worker ended that should not have: out of memory, killed, or by a fault of ours."""

    type = "worker_lost"


class Worker:
    """One worker, as the batch sees it."""

    def __init__(self, process: subprocess.Popen[bytes], reader: StreamReader, writer: StreamWriter) -> None:
        self.process = process
        self.reader = reader
        self.writer = writer
        self.waiting: dict[int, Future[frames.Frame]] = {}
        self.lost = False

    async def listen(self, warn: Callable[[str], None], on_halt: Callable[[LlmctlError], None]) -> None:
        """Passes on how rows ended, until the worker is gone."""
        while frame := await frames.read(self.reader):
            if "warn" in frame.fields:
                warn(frame.fields["warn"])
            elif "halted" in frame.fields:
                on_halt(frames.error_of(frame.fields["halted"]))
            elif (done := self.waiting.pop(frame.fields["n"], None)) and not done.done():
                done.set_result(frame)
        self.lost = True
        for done in self.waiting.values():
            if not done.done():
                done.set_exception(Stopped(self._lost(), 0, None))

    def _lost(self) -> WorkerLost:
        return WorkerLost(
            f"worker process {self.process.pid} ended",
            hint="run the same command again, with fewer --workers",
        )


class Crew:
    """`size` workers; rows go to the one with the least in flight."""

    def __init__(self, size: int, arguments: Sequence[str], warn: Callable[[str], None]) -> None:
        """`arguments` are the command's own."""
        self.size = size
        self._arguments = arguments
        self._warn = warn
        self._warned: set[str] = set()
        self._workers: list[Worker] = []
        self._listening: list[Task[None]] = []

    async def start(self, told: dict[str, Any], on_halt: Callable[[LlmctlError], None]) -> None:
        """`told` is what every worker has to know; `on_halt` hears why nothing more may be sent."""
        import asyncio

        for _ in range(self.size):
            process, ours = self._spawn()
            ours.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=ours, limit=2**26)
            worker = Worker(process, reader, writer)
            writer.write(frames.pack({"told": told}))
            self._workers.append(worker)
            self._listening.append(asyncio.create_task(worker.listen(self._warn_once, on_halt)))

    def _spawn(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "llmctl", *self._arguments, "--crew", str(theirs.fileno())]
            process = subprocess.Popen(  # noqa: S603  # this very command, without a shell
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(theirs.fileno(),)
            )
        return process, ours

    async def ask(self, row: Row, request: Request) -> Ended:
        """How the row ended. Stopped where it stays pending."""
        import asyncio

        worker = min((each for each in self._workers if not each.lost), key=_load, default=None)
        if worker is None:
            raise Stopped(WorkerLost("all worker processes have ended", hint="see the log"), 0, 0)
        done: Future[frames.Frame] = asyncio.get_running_loop().create_future()
        worker.waiting[row.number] = done
        worker.writer.write(frames.of_row(row))
        return frames.result_of(await done)

    def halt(self) -> None:
        """What waits for a turn need not wait any more."""
        for worker in self._workers:
            if not worker.lost:
                worker.writer.write(frames.pack({"halt": True}))

    async def end(self) -> None:
        """Lets the workers write what they have gathered, and waits for that."""
        import asyncio

        for worker in self._workers:
            worker.writer.close()
        for worker in self._workers:
            try:
                await asyncio.to_thread(worker.process.wait, FAREWELL_S)
            except subprocess.TimeoutExpired:
                worker.process.kill()
        for task in self._listening:
            task.cancel()
        await asyncio.gather(*self._listening, return_exceptions=True)

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self._warn(text)


def _load(worker: Worker) -> int:
    return len(worker.waiting)


def share(total: int, size: int) -> int:
    """One worker's part of what all have together, rounded up."""
    return -(-total // size)
