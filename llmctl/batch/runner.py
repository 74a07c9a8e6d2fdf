"""Runs the rows: a bounded window of requests in flight, each row on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from llmctl.batch.job import Composer, Job
from llmctl.batch.journal import KEY, NO_KEY
from llmctl.batch.outputs import cost_of, kind_of, render
from llmctl.batch.rows import Row
from llmctl.batch.store import Store
from llmctl.batch.tally import Tally
from llmctl.core.canonical import fingerprint
from llmctl.core.errors import AccountError, BreakerOpen, BudgetError, Interrupted, LlmctlError, StorageError
from llmctl.core.model import Request, Response, Send, replace

if TYPE_CHECKING:
    from asyncio import Future, Task

STOPS = (AccountError, BudgetError, BreakerOpen, StorageError, Interrupted)
"""What no other row would survive either: nothing more is sent, the rest stays pending."""
BREATH = 200
"""Rows handled without waiting before others get their turn."""


class Runner:
    """One pass over the rows. `halted` is why it stopped before its end, if it did."""

    def __init__(self, job: Job, composer: Composer, send: Send, store: Store, tally: Tally) -> None:
        self.job = job
        self.composer = composer
        self.send = send
        self.store = store
        self.tally = tally
        self.halted: LlmctlError | None = None
        self.on_row: Callable[[Row], None] = lambda row: None
        self._flying: dict[str, Future[int | None]] = {}
        self._workers: list[Task[None]] = []

    async def run(self, rows: Iterator[Row]) -> None:
        """Until the rows are done, or something halts them; what is in flight is always awaited."""
        import asyncio

        self._workers = [asyncio.create_task(self._work(rows)) for _ in range(self.job.concurrency)]
        try:
            await asyncio.gather(*self._workers)
        finally:
            self.abandon()

    def halt(self, why: LlmctlError) -> None:
        """Nothing more is sent; the first reason stays."""
        self.halted = self.halted or why

    def abandon(self) -> None:
        """Leaves at once: what is in flight is given up (and may be billed)."""
        for worker in self._workers:
            worker.cancel()

    async def _work(self, rows: Iterator[Row]) -> None:
        import asyncio

        for count, row in enumerate(rows):
            if self.halted:
                return
            await self._row(row)
            if count % BREATH == 0:
                await asyncio.sleep(0)

    async def _row(self, row: Row) -> None:
        if row.error is not None:
            self._settle(row, NO_KEY, row.error)
            return
        try:
            request = self.composer.request(row)
        except LlmctlError as error:
            self._settle(row, NO_KEY, error)
            return
        key = fingerprint(request)
        request = replace(request, fingerprint=key)
        leader = self._flying.get(key)
        if leader is not None:
            offset = await leader
            if offset is not None:
                self._share(row, offset)
        elif not self._known(row, key):
            await self._lead(row, request, key)

    def _known(self, row: Row, key: str) -> bool:
        """Whether the request has ended already, in this run or an earlier one."""
        record = self.store.find(key)
        if record is None:
            return False
        if record.offset >= self.store.began:
            self._share(row, record.offset)
            return True
        if record.kind != "o" and self.job.retry_failed:
            return False
        self.store.offsets.put(row.number, record.offset)
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
        import asyncio

        flight: Future[int | None] = asyncio.get_running_loop().create_future()
        self._flying[key] = flight
        offset: int | None = None
        try:
            outcome: Response | LlmctlError = await self.send(request)
        except STOPS as error:
            self.halt(error)
            return
        except LlmctlError as error:
            outcome = error
        finally:
            del self._flying[key]
            if not flight.done() and self.halted:
                flight.set_result(None)
        try:
            offset = self._settle(row, key[:KEY], outcome)
        except StorageError as error:
            self.halt(error)
        finally:
            if not flight.done():
                flight.set_result(offset)

    def _settle(self, row: Row, key: str, outcome: Response | LlmctlError) -> int:
        kind = kind_of(outcome)
        offset = self.store.put(kind, row.number, key, render(row, outcome, self.job.openai(row)))
        self.tally.add(kind, outcome, cost_of(outcome))
        self.on_row(row)
        return offset
