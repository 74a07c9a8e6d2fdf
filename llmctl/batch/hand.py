"""A worker of a batch: takes rows from the process that keeps the journal, and says how they ended."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llmctl.batch import frames
from llmctl.batch.ended import Ask, Stopped, ask_with, own_fault
from llmctl.batch.job import Composer, Job
from llmctl.batch.rows import Row
from llmctl.core.canonical import fingerprint
from llmctl.core.errors import Interrupted, LlmctlError, UsageError
from llmctl.core.loop import loop
from llmctl.core.model import replace
from llmctl.services import Services

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter, Task

FLUSH_S = 0.05


class Hand:
    """`descriptor` is the worker's end of the socket pair."""

    def __init__(
        self, services: Services, job: Job, descriptor: int, on_bug: Callable[[Exception], None]
    ) -> None:
        self.services = services
        self.on_bug = on_bug
        self.composer = Composer(services, job.ask)
        self.job = job
        self.descriptor = descriptor
        self._rows: set[Task[None]] = set()
        self._halted = False
        """Nothing more is to be sent, not even rows that have come already."""

    async def run(self) -> int:
        """Until the other side hangs up; then what was gathered is written. The exit code."""
        import asyncio

        from llmctl.batch.command import spare_collector

        end = self._end()
        await loop()
        spare_collector()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # who keeps the journal decides
            signal.signal(number, signal.SIG_IGN)
        reader, writer = await asyncio.open_connection(sock=end, limit=2**26)
        self.services.warn = lambda text: writer.write(frames.pack({"warn": text}))
        flushing = asyncio.create_task(self._keep_flushing(writer))
        try:
            await self._serve(reader, writer)
        finally:
            flushing.cancel()
            for task in self._rows:  # nobody is there to hear of it
                task.cancel()
            await asyncio.gather(*self._rows, return_exceptions=True)
            await self.services.close()
        return 0

    def _end(self) -> socket.socket:
        """The worker's end, looked at before sockets of our own have numbers that a user may guess."""
        try:
            return socket.socket(fileno=self.descriptor)
        except OSError:
            raise UsageError(
                f"--crew {self.descriptor}: for a batch's own workers alone",
                hint="ask for some with --workers",
            ) from None

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        import asyncio

        ask: Ask | None = None
        while frame := await frames.read(reader):
            if "told" in frame.fields:
                ask = self._begin(frame.fields["told"])
            elif "halt" in frame.fields:
                self._halted = True
                self.services.wake()
            elif ask is not None:
                task = asyncio.create_task(self._row(ask, frames.row_of(frame), writer))
                self._rows.add(task)
                task.add_done_callback(self._rows.discard)

    def _begin(self, told: dict[str, Any]) -> Ask:
        """The pipeline, with this worker's part of the window and of the retries."""
        from llmctl.pipeline import build
        from llmctl.stages.retry import Allowance

        services = self.services
        services.run_id = told["run"]
        services.shared_max_cost = True
        services.concurrency = told["concurrency"]
        services.allowance = Allowance(told["retries"])
        services.ledger.prepare()
        return ask_with(build(services), self.job, self.composer, self.on_bug)

    async def _row(self, ask: Ask, row: Row, writer: StreamWriter) -> None:
        try:
            if self._halted:
                raise Stopped(Interrupted(signal.SIGINT), 0, 0)
            request = self.composer.request(row)
            done = await ask(row, replace(request, fingerprint=fingerprint(request)))
        except Stopped as stopped:
            writer.write(frames.of_stopped(row.number, stopped))
        except LlmctlError as error:
            writer.write(frames.of_stopped(row.number, Stopped(error, 0, 0)))
        except Exception as error:  # noqa: BLE001  # a bug: the other side waits for a word of every row
            self.on_bug(error)
            writer.write(frames.of_stopped(row.number, Stopped(own_fault(error), 0, 0)))
        else:
            writer.write(frames.of_ended(row.number, done))

    async def _keep_flushing(self, writer: StreamWriter) -> None:
        import asyncio

        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                self.services.flush()
            except LlmctlError as error:
                writer.write(frames.pack({"halted": frames.told(error)}))
            except Exception as error:  # noqa: BLE001  # a bug: nothing is paid for that is not recorded
                self.on_bug(error)
                writer.write(frames.pack({"halted": frames.told(own_fault(error))}))
                return
