"""Runs the rows: a bounded window of requests in flight, each row on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING

from llmctl.batch.ended import Ask, Ended, Stopped, ended
from llmctl.batch.job import Composer, Job
from llmctl.batch.journal import KEY, NO_KEY
from llmctl.batch.outputs import is_labelled, relabelled
from llmctl.batch.rows import Row
from llmctl.batch.store import Store
from llmctl.batch.tally import Tally
from llmctl.core.canonical import fingerprint
from llmctl.core.errors import (
    AccountError,
    BudgetError,
    ForbiddenAddress,
    Interrupted,
    LlmctlError,
    StorageError,
)
from llmctl.core.model import Request, fill

if TYPE_CHECKING:
    from asyncio import Event, Future, Task

BREATH = 200
"""Rows handled without waiting before others get their turn."""


class Runner:
    """One pass over the rows. `halted` is the weightiest reason why it stopped early, if it did."""

    def __init__(self, job: Job, composer: Composer, ask: Ask, store: Store, tally: Tally) -> None:
        self.job = job
        self.composer = composer
        self.ask = ask
        self.store = store
        self.tally = tally
        self.halted: LlmctlError | None = None
        self.broken: Exception | None = None
        """What kept a worker from going on, for the caller to hear of when the others have ended."""
        self.on_row: Callable[[Row], None] = lambda row: None
        self.on_halt: Callable[[], None] = lambda: None
        """Called when nothing more is to be sent: what waits for a turn need not wait."""
        self.room: Event | None = None
        """No row is begun while it is not set, where there is one."""
        self._flying: dict[str, Future[int | None] | None] = {}
        self._workers: list[Task[None]] = []
        self._rows: Iterator[Row] = iter(())
        self._left: list[Row] = []
        """Rows that were taken and not begun when it stopped."""

    async def run(self, rows: Iterator[Row]) -> None:
        """Until the rows are done, or something halts them; what is in flight is always awaited."""
        import asyncio

        self._rows = rows
        self.widen(self.job.concurrency)
        try:
            while working := [worker for worker in self._workers if not worker.done()]:
                await asyncio.wait(working)
        except asyncio.CancelledError:
            self.abandon()
            await asyncio.wait(self._workers)
            raise
        if self.broken is not None:
            raise self.broken
        if self.halted is not None and self.store.before:
            await self._recall()

    def widen(self, size: int) -> None:
        """So many rows are worked on at once from now on, where there were fewer."""
        import asyncio

        while len(self._workers) < size:
            self._workers.append(asyncio.create_task(self._work(self._rows)))

    def halt(self, why: LlmctlError) -> None:
        """Nothing more is sent; of several reasons the weightiest stays, of equals the first."""
        if self.halted is None or weight(why) < weight(self.halted):
            self.halted = why
        if self.room is not None:
            self.room.set()
        self.on_halt()

    def abandon(self) -> None:
        """Leaves at once: what is in flight is given up (and may be billed)."""
        for worker in self._workers:
            worker.cancel()

    async def _work(self, rows: Iterator[Row]) -> None:
        """Takes rows until there are none. What breaks one worker lets the others finish theirs."""
        import asyncio

        try:
            for count, row in enumerate(rows):
                if self.room is not None and not self.halted:
                    await self.room.wait()
                if self.halted:
                    self._left.append(row)
                    return
                await self._row(row)
                if count % BREATH == 0:
                    await asyncio.sleep(0)
        except LlmctlError as error:
            self.halt(error)
        except Exception as error:  # noqa: BLE001  # a closed pipe or a bug: raised when all have ended
            self.broken = self.broken or error
            self.halt(LlmctlError("stopped"))

    async def _recall(self) -> None:
        """Rows behind the stop that an earlier run has finished stay finished: OUT must not lose them."""
        import asyncio

        for count, row in enumerate(chain(self._left, self._rows)):
            if isinstance(self.halted, Interrupted | StorageError):
                return
            if row.error is None:
                with suppress(LlmctlError):
                    self._known(row, fingerprint(self.composer.request(row)))
            if count % BREATH == 0:
                await asyncio.sleep(0)

    async def _row(self, row: Row) -> None:
        if row.error is not None:
            self._fail(row, row.error)
            return
        try:
            request = self.composer.request(row)
        except ForbiddenAddress as error:
            self.halt(error)
            return
        except LlmctlError as error:
            self._fail(row, error)
            return
        key = fingerprint(request)
        fill(request, fingerprint=key)
        while key in self._flying:
            offset = await self._landing(key)
            if offset is not None:
                self._share(row, offset)
            if offset is not None or self.halted:
                return
        if not self._known(row, key):
            await self._lead(row, request, key)

    async def _landing(self, key: str) -> int | None:
        """Where the record of the same request is, once it has one; None where it was never sent."""
        import asyncio

        flight = self._flying[key]
        if flight is None:
            flight = self._flying[key] = asyncio.get_running_loop().create_future()
        return await asyncio.shield(flight)

    def _known(self, row: Row, key: str) -> bool:
        """Whether the request has ended already, in this run or an earlier one."""
        record = self.store.find(key)
        if record is None or not self.composer.opens(record.payload):
            self.tally.changed += row.number in self.store.held
            return False
        if record.offset >= self.store.began:
            self._share(row, record.offset)
            return True
        if record.kind != "o" and self.job.retry_failed:
            return False
        taken = record.row != row.number and self.store.offsets.get(record.row) == record.offset
        label = self.composer.label(row)
        if taken or is_labelled(record.payload, label):
            self.store.offsets.put(row.number, record.offset)
        else:
            self.store.put(record.kind, row.number, record.key, relabelled(record.payload, label))
        self.tally.count(record.kind)
        self.tally.resumed += 1
        self.on_row(row)
        return True

    def _share(self, row: Row, offset: int) -> None:
        """The same request as another row's, whose answer it gets."""
        self.store.offsets.put(row.number, offset)
        self.tally.count(self.store.journal.read(offset).kind)
        self.tally.deduplicated += 1
        self.on_row(row)

    async def _lead(self, row: Row, request: Request, key: str) -> None:
        """Asks, and keeps the answer; the row stays pending where nothing more is to be sent."""
        self._flying[key] = None
        offset: int | None = None
        try:
            done = await self.ask(row, request)
            if done.kind == "x":  # by a budget of its tag, maybe: the same request of another row may fit
                self._settle(row, NO_KEY, done)
            else:
                offset = self._settle(row, key[:KEY], done)
        except Stopped as stopped:
            self.tally.spend(stopped.requests, stopped.cost)
            if self.halted is None or not isinstance(stopped.why, Interrupted):
                self.halt(stopped.why)  # else it only waited, and was woken by whatever halted the others
        finally:
            flight = self._flying.pop(key)
            if flight is not None and not flight.done():  # whatever happened: who shares it must wake up
                flight.set_result(offset)

    def _settle(self, row: Row, key: str, done: Ended) -> int:
        try:
            offset = self.store.put(done.kind, row.number, key, done.payload)
        except StorageError:
            self.tally.spend(done.requests, done.cost)
            raise
        self.tally.add(done)
        self.on_row(row)
        return offset

    def _fail(self, row: Row, error: LlmctlError) -> None:
        """A row that cannot be asked."""
        self._settle(row, NO_KEY, ended(self.job, self.composer, row, error))


def weight(why: LlmctlError) -> int:
    """Which of several reasons a batch's exit code tells: a signal, the disk, then 4, 6, 5."""
    order = (Interrupted, StorageError, ForbiddenAddress, AccountError, BudgetError)
    return next((n for n, kind in enumerate(order) if isinstance(why, kind)), len(order))
