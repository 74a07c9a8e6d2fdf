"""A batch from its first look at the input to its exit code."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmctl.batch import journals
from llmctl.batch.crew import Crew, share
from llmctl.batch.emit import Emitter
from llmctl.batch.ended import Ask, ask_with, own_fault
from llmctl.batch.finish import Finisher
from llmctl.batch.guard import guard_files, guard_output
from llmctl.batch.ids import check_ids
from llmctl.batch.job import Composer, Job
from llmctl.batch.progress import Progress, say
from llmctl.batch.rows import Row, may_have_id, parse
from llmctl.batch.runner import Runner
from llmctl.batch.running import Running
from llmctl.batch.source import Source
from llmctl.batch.store import Store, closing, digest_of, digest_of_file
from llmctl.batch.tally import Tally
from llmctl.core.descriptors import connections
from llmctl.core.errors import Interrupted, LlmctlError, PromptRefused, StorageError
from llmctl.core.loop import loop
from llmctl.services import Services

if TYPE_CHECKING:
    import asyncio

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
FEWEST_RETRIES = 10
"""A batch may try again for a tenth of its rows, and a small one so often."""
FLUSH_S = 0.1
COLLECT_EVERY = 50_000
"""Objects made and not gone, before the collector looks at the young ones."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a batch ended: what it came to, why it stopped if it did, whether it had been done before.

    `bug` is the first fault of our own that a row met.
    """

    tally: Tally
    halted: LlmctlError | None
    summary: dict[str, Any]
    already: bool = False
    damaged: int = 0
    bug: Exception | None = None

    @property
    def exit_code(self) -> int:
        if self.halted is not None:
            return self.halted.exit_code
        if self.summary.get("refused") == self.summary["rows"] > 0:
            return PromptRefused.exit_code  # as `run` says it: nothing could be sent
        return 9 if self.summary["failed"] or self.summary.get("refused") else 0


class Batch:
    """One run of a job over a source."""

    def __init__(
        self,
        services: Services,
        job: Job,
        source: Source,
        *,
        quiet: bool,
        live: bool,
        crew: Crew | None = None,
    ) -> None:
        self.services = services
        self.crew = crew
        """Workers that ask in this process's place; None: it asks itself."""
        self.bug: Exception | None = None
        """The first fault of our own that a row met; the row failed."""
        self.job = job
        self.source = source
        self.composer = Composer(services, job.ask)
        self.context = ""
        self.ended = False
        """Nothing is in flight any more."""
        self.tally = Tally()
        self.progress = Progress(self.tally, quiet=quiet, live=live)
        self.emitter: Callable[[Finisher], Emitter] = Emitter
        """What rows go to where there is no OUT."""
        self.listens = True
        """Whether signals are this batch's to answer."""
        self._stop: LlmctlError | None = None
        self.store: Store
        self.runner: Runner

    async def run(self) -> Outcome:
        """LlmctlError for what is wrong before anything is sent; later reasons are in the Outcome."""
        try:
            guard_files(self.job, self.source)
            self.context = self.job.context(self.services)
            if (done := closing(self.job)) is not None and self._finished(done):
                return self._again(done)  # nothing has to be read but the files' bytes
            total = self._look()
            self.store = Store(self.job, total)
            try:
                outcome = await self._run(total)
                self.running.end(outcome.exit_code)
                self._log(outcome)
                return outcome
            finally:
                self.running.end(None)
                self.progress.end()
                self.store.close()
        finally:
            await self.services.close()

    async def _run(self, total: int) -> Outcome:
        if self.store.done is not None and self._finished(self.store.done):
            return self._again(self.store.done)
        guard_output(self.job, self.store)
        self.services.ledger.prepare()
        self.services.listen()
        journals.note(self.services.home, self.services.run_id, self.job.journal, self.job.out)
        self.tally.rows = sum(map(self.job.takes, range(total)))
        return await self._go()

    def _log(self, outcome: Outcome) -> None:
        """One line for the whole batch; `stages.log` tells of the rows that failed."""
        if self.services.log is not None:
            sums = ("rows", "ok", "failed", "pending", "cached", "resumed", "requests", "cost_usd", "wall_s")
            told = {name: outcome.summary[name] for name in sums}
            self.services.log.event("info", "batch", exit_code=outcome.exit_code, **told)

    def _look(self) -> int:
        """How many rows there are; whole-file faults and doubled ids are found before anything is paid."""
        count = 0

        def ids() -> Iterator[tuple[str, int]]:
            nonlocal count
            count = 0
            for raw in self.source.raw_rows():
                count += 1
                yield parse(raw, self.job.template).id if may_have_id(raw) else str(raw.number), raw.line

        check_ids(ids, self.source.name)
        return count

    def _finished(self, done: Mapping[str, Any]) -> bool:
        """Whether this very command has been done: same input, same settings, OUT untouched."""
        out = self.job.out
        if out is None or done["context"] != self.context or not out.is_file():
            return False
        wants_more = done["summary"]["pending"] or (self.job.retry_failed and done["failed_out"])
        return (
            not wants_more
            and done["input"] == self.source.digest()
            and done["out"] == digest_of_file(out)
            and done["failed_out"] == digest_of(self.job.failed_out)
        )

    def _again(self, done: Mapping[str, Any]) -> Outcome:
        summary = done["summary"]
        kept = {name: summary[name] for name in ("rows", "ok", "failed", "refused", "pending")}
        sums = {**self.tally.envelope(), **kept, "resumed": summary["rows"]}
        return Outcome(self.tally, None, sums, already=True)

    async def _go(self) -> Outcome:
        import asyncio

        await loop()
        _ = self.services.watch  # what is wrong with it is told before anything is sent
        veil = self.composer.veil
        finisher = Finisher(
            self.job, self.source, self.store, template=self.job.template, restore=veil.up if veil else None
        )
        emitter = self.emitter(finisher) if self.job.out is None else None
        room = self._fit()
        ask = await self._asker()
        runner = self.runner = Runner(self.job, self.composer, ask, self.store, self.tally)
        runner.halted = self._stop
        runner.on_halt = self._wake
        self.services.paces.on_grown = lambda size: runner.widen(min(size, room))
        if emitter is not None:
            runner.on_row, runner.room = emitter.row, emitter.room
        spare_collector()
        listening = self._listen(asyncio.get_running_loop()) if self.listens else []
        ended = asyncio.Event()
        flusher = asyncio.create_task(self._keep_flushing(ended))
        try:
            await runner.run(self._rows())
        except asyncio.CancelledError:
            runner.halt(Interrupted(signal.SIGINT))
        finally:
            ended.set()
            await flusher
            if self.crew is not None:
                await self.crew.end()
        self._try(self.services.flush)
        self.ended = True
        with interruptible(listening):
            self._try(lambda: self._end(finisher, emitter))
        return Outcome(
            self.tally,
            runner.halted,
            self.tally.envelope(),
            damaged=self.store.journal.damaged,
            bug=self.bug,
        )

    def _fit(self) -> int:
        """Connections there is room for: a row that found none would lose its answer and others'."""
        room = connections() * (self.crew.size if self.crew else 1)
        if self.job.concurrency > room:
            self.services.warn(f"{room} requests in flight, not {self.job.concurrency}: see `ulimit -n`")
            self.job = replace(self.job, concurrency=room)
        return room

    async def _asker(self) -> Ask:
        """What asks the rows: this process's own pipeline, or a crew of workers."""
        retries = max(FEWEST_RETRIES, self.tally.rows // 10)
        if self.crew is None:
            from llmctl.pipeline import build
            from llmctl.stages.retry import Allowance

            self.services.allowance = Allowance(retries)
            return ask_with(build(self.services), self.job, self.composer, self._met)
        size = self.crew.size
        told = {
            "run": self.services.run_id,
            "concurrency": share(self.job.concurrency, size),
            "retries": share(retries, size),
        }
        await self.crew.start(told, self._halt)
        return self.crew.ask

    def _halt(self, why: LlmctlError) -> None:
        """A worker says that nothing more may be sent."""
        self.runner.halt(why)

    def _met(self, bug: Exception) -> None:
        self.bug = self.bug or bug

    def _wake(self) -> None:
        self.services.wake()
        if self.crew is not None:
            self.crew.halt()

    def stop(self) -> None:
        """As the first signal does: nothing more is sent, what is in flight is finished."""
        self._stop = Interrupted(signal.SIGINT)
        if hasattr(self, "runner"):
            self.runner.halt(self._stop)

    def _end(self, finisher: Finisher, emitter: Emitter | None) -> None:
        """What was finished reaches its reader: all of OUT, unless a signal or the disk cut it short."""
        halted = self.runner.halted
        if emitter is not None:
            emitter.end(pending=not isinstance(halted, Interrupted))
        elif isinstance(halted, Interrupted | StorageError):
            self.store.journal.sync()
        else:
            finisher.write(self.tally, self.context)

    def _try(self, step: Callable[[], None]) -> None:
        """A step that may fail; the summary and the way on are told all the same."""
        try:
            step()
        except LlmctlError as error:
            self.runner.halt(error)

    def _rows(self) -> Iterator[Row]:
        for raw in self.source.raw_rows():
            if self.job.takes(raw.number):
                yield parse(raw, self.job.template)
            elif self.job.limit is not None and raw.number >= self.job.limit:
                return

    def _listen(self, loop: asyncio.AbstractEventLoop) -> list[int]:
        """The first signal stops the sending, a second one leaves at once. Gives those listened to."""
        runner, signals = self.runner, 0

        def stop(number: int) -> None:
            nonlocal signals
            signals += 1
            if self.ended:
                return
            runner.halt(Interrupted(number))
            if signals > 1:
                runner.abandon()
            elif not self.progress.quiet:
                say("finishing what is in flight; once more to leave at once")

        numbers = [getattr(signal, name) for name in SIGNALS]
        listening = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
        for number in listening:
            loop.add_signal_handler(number, stop, number)
        return listening

    async def _keep_flushing(self, ended: asyncio.Event) -> None:
        """Ledger and cache in groups, the journal to the disk itself, and the display."""
        import asyncio

        while not ended.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), FLUSH_S)
            finished = self.tally.finished
            try:
                self.services.flush()
                if self.store.journal.dirty:
                    await asyncio.to_thread(self.store.journal.sync)
                self.tally.durable = finished
                self._show()
            except LlmctlError as error:
                self.runner.halt(error)
            except Exception as error:  # noqa: BLE001  # a bug: nothing is paid for that is not recorded
                self._met(error)
                self.runner.halt(own_fault(error))

    def _show(self) -> None:
        with suppress(OSError):  # nobody reads stderr any more
            self.progress.tick()
        self.running.tick()
        if self.services.watch is not None:
            self.services.watch.poke()

    @cached_property
    def running(self) -> Running:
        """Where other processes see how far it is."""
        out = self.job.out
        told = {
            "profile": self.services.resolved.name,
            "model": self.job.ask.model,
            "input": Path(self.source.name).name,
            "out": None if out is None else out.name,
        }
        return Running(self.services.home, self.services.run_id, self.tally, told)


def spare_collector() -> None:
    """Nearly nothing of a batch is cyclic garbage; looking for it so often takes a twentieth of the time."""
    import gc

    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 10, 10)


@contextmanager
def interruptible(numbers: list[int]) -> Iterator[None]:
    """While files are written, which may take a while, a signal ends that with Interrupted."""

    def leave(number: int, frame: object) -> None:
        raise Interrupted(number)

    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
