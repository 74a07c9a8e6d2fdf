"""A batch from its first look at the input to its exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmctl.batch.emit import Emitter
from llmctl.batch.finish import Finisher, digest_of_file
from llmctl.batch.ids import check_ids
from llmctl.batch.job import Composer, Job
from llmctl.batch.progress import Progress
from llmctl.batch.rows import Row, parse
from llmctl.batch.runner import Runner
from llmctl.batch.source import Source
from llmctl.batch.store import Store
from llmctl.batch.tally import Tally
from llmctl.core.errors import Interrupted, LlmctlError, StorageError
from llmctl.core.loop import loop
from llmctl.services import Services

if TYPE_CHECKING:
    import asyncio

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
FLUSH_S = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a batch ended: what it came to, why it stopped if it did, whether it had been done before."""

    tally: Tally
    halted: LlmctlError | None
    summary: dict[str, Any]
    already: bool = False

    @property
    def exit_code(self) -> int:
        if self.halted is not None:
            return self.halted.exit_code
        return 9 if self.summary["failed"] or self.summary.get("refused") else 0


class Batch:
    """One run of a job over a source."""

    def __init__(self, services: Services, job: Job, source: Source, *, quiet: bool, live: bool) -> None:
        self.services = services
        self.job = job
        self.source = source
        self.composer = Composer(services, job.ask)
        self.tally = Tally()
        self.progress = Progress(self.tally, quiet=quiet, live=live)
        self.store: Store

    async def run(self) -> Outcome:
        """LlmctlError for what is wrong before anything is sent; later reasons are in the Outcome."""
        total = self._look()
        context = self.job.context(self.services)
        self.store = Store(self.job, context, total)
        try:
            if self._finished(context):
                assert self.store.done is not None
                return Outcome(self.tally, None, self._again(self.store.done["summary"]), already=True)
            self._guard_output()
            self.tally.rows = sum(map(self.job.takes, range(total)))
            return await self._go()
        finally:
            self.progress.end()
            self.store.close()
            await self.services.close()

    def _look(self) -> int:
        """How many rows there are; whole-file faults and doubled ids are found before anything is paid."""
        count = 0

        def ids() -> Iterator[tuple[str, int]]:
            nonlocal count
            count = 0
            for raw in self.source.raw_rows():
                row = parse(raw, self.job.template)
                count += 1
                yield row.id, row.line

        check_ids(ids, self.source.name)
        return count

    def _finished(self, context: str) -> bool:
        """Whether this very command has been done: same input, same settings, OUT untouched."""
        done = self.store.done
        if (
            done is None
            or self.job.out is None
            or self.store.context != context
            or not self.job.out.is_file()
        ):
            return False
        wants_more = done["summary"]["pending"] or (self.job.retry_failed and done["summary"]["failed"])
        return (
            not wants_more
            and done["input"] == self.source.digest()
            and done["out"] == digest_of_file(self.job.out)
        )

    def _again(self, summary: dict[str, Any]) -> dict[str, Any]:
        nothing = self.tally.envelope()
        kept = {name: summary[name] for name in ("rows", "ok", "failed", "refused", "pending")}
        return {**nothing, **kept, "resumed": summary["rows"]}

    def _guard_output(self) -> None:
        """An OUT that no earlier run of this journal wrote is somebody else's."""
        out = self.job.out
        if out is None or self.job.restart or not out.exists():
            return
        if self.store.done is None or not out.is_file() or self.store.done["out"] != digest_of_file(out):
            raise StorageError(
                f"{out}: not written by this batch (or changed since)",
                hint="choose another -o, or --restart to replace it",
            )

    async def _go(self) -> Outcome:
        import asyncio

        from llmctl.pipeline import build

        await loop()
        runner = Runner(self.job, self.composer, build(self.services), self.store, self.tally)
        finisher = Finisher(self.job, self.source, self.store, template=self.job.template, restore=None)
        emitter = Emitter(finisher) if self.job.out is None else None
        if emitter is not None:
            runner.on_row = emitter.row
        self._listen(asyncio.get_running_loop(), runner)
        flusher = asyncio.create_task(self._keep_flushing(runner))
        try:
            await runner.run(self._rows())
        except asyncio.CancelledError:
            runner.halt(Interrupted(signal.SIGINT))
        finally:
            flusher.cancel()
            self._flush()
        return self._end(runner, finisher, emitter)

    def _end(self, runner: Runner, finisher: Finisher, emitter: Emitter | None) -> Outcome:
        interrupted = isinstance(runner.halted, Interrupted)
        if emitter is not None:
            if not interrupted:
                emitter.end()
        elif not interrupted and not isinstance(runner.halted, StorageError):
            finisher.write(self.tally)
        else:
            self.store.journal.sync()
        return Outcome(self.tally, runner.halted, self.tally.envelope())

    def _rows(self) -> Iterator[Row]:
        for raw in self.source.raw_rows():
            if self.job.takes(raw.number):
                yield parse(raw, self.job.template)
            elif self.job.limit is not None and raw.number >= self.job.limit:
                return

    def _listen(self, loop: asyncio.AbstractEventLoop, runner: Runner) -> None:
        """The first signal stops the sending, a second one leaves at once."""

        def stop(number: int) -> None:
            if runner.halted is not None:
                runner.abandon()
                return
            runner.halt(Interrupted(number))
            self.services.wake()
            if not self.progress.quiet:
                sys.stderr.write("llmctl: finishing what is in flight; once more to leave at once\n")

        for name in SIGNALS:
            number = getattr(signal, name)
            if signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, stop, number)

    async def _keep_flushing(self, runner: Runner) -> None:
        """Ledger and cache in groups, the journal to the disk itself, and the display."""
        import asyncio

        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                self._flush()
                if self.store.journal.dirty:
                    await asyncio.to_thread(self.store.journal.sync)
                self.tally.durable = self.tally.finished
            except LlmctlError as error:
                runner.halt(error)
            self.progress.tick()

    def _flush(self) -> None:
        self.services.flush()
