"""Batches for Python programs: rows in, results out, the command's engine between."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

import orjson

from llmctl.batch.command import Batch
from llmctl.batch.emit import Emitter
from llmctl.batch.ended import Ask, Ended
from llmctl.batch.finish import Finisher
from llmctl.batch.job import Job
from llmctl.batch.rows import Row
from llmctl.batch.source import Source
from llmctl.core.errors import UsageError
from llmctl.core.model import Request, Usage
from llmctl.core.money import Nanos
from llmctl.services import Services

if TYPE_CHECKING:
    from asyncio import Event, Queue

Rows = Iterable[str | Mapping[str, Any]]
"""Prompts, or rows as they stand in a file: {"prompt" or "messages", "id", "model", "system", …}."""

AHEAD = 1000
"""Results that may wait for their reader before nothing more is sent."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """One row of a batch. `cost` in nano-dollars (None: unknown), `latency` in seconds.

    `status` is ok, failed, refused (kept from being sent) or pending (not sent, since the batch
    stopped); `error` then says why, with the fields of the command's error envelope.
    """

    id: str
    row: int
    status: Literal["ok", "failed", "refused", "pending"]
    text: str | None
    parsed: Any
    model: str | None
    finish_reason: str | None
    usage: Usage
    cost: Nanos | None
    cached: Literal[False, "exact", "semantic", "shared"]
    attempts: int
    latency: float
    error: Mapping[str, Any] | None
    reasoning: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.status == "ok"


def result(line: bytes) -> BatchResult:
    """From a row of OUT in llmctl's form."""
    fields = orjson.loads(line)
    usd = fields["cost_usd"]
    return BatchResult(
        **{
            name: fields[name] for name in ("id", "row", "status", "text", "parsed", "model", "finish_reason")
        },
        usage=Usage(**fields["usage"]),
        cost=None if usd is None else round(usd * 1e9),
        **{name: fields[name] for name in ("cached", "attempts", "error")},
        latency=fields["latency_s"],
        reasoning=fields.get("reasoning"),
        tool_calls=tuple(fields.get("tool_calls", ())),
        warnings=tuple(fields.get("warnings", ())),
    )


class Lines:
    """Rows as a stream of JSON lines; the iterable is read as far as the stream is."""

    def __init__(self, rows: Rows) -> None:
        self._rows: Iterator[str | Mapping[str, Any]] = iter(rows)

    def read(self, size: int) -> bytes:
        """At least `size` bytes while there are rows; UsageError for a row that is no JSON."""
        chunk = bytearray()
        for row in self._rows:
            try:
                chunk += orjson.dumps({"prompt": row} if isinstance(row, str) else dict(row)) + b"\n"
            except (TypeError, ValueError) as error:
                raise UsageError(f"a row is neither a text nor JSON: {error}") from None
            if len(chunk) >= size:
                break
        return bytes(chunk)


def source_of(rows: Rows | str | Path) -> Source:
    """A text or a Path names a file."""
    if isinstance(rows, str | Path):
        return Source(str(rows))
    source = Source(None, cast(BinaryIO, Lines(rows)))
    source.name = "rows"
    return source


class Feed(Emitter):
    """Hands results to an iterator; holds the sending back while too many wait."""

    def __init__(self, finisher: Finisher, lines: Queue[bytes | None], room: Event) -> None:
        super().__init__(finisher, io.BytesIO())
        self._queue = lines
        self._room = room
        room.set()

    def gate(self, ask: Ask) -> Ask:
        async def gated(row: Row, request: Request) -> Ended:
            await self._room.wait()
            return await ask(row, request)

        return gated

    def _write(self, payload: bytes) -> None:
        self._queue.put_nowait(payload)
        if self._queue.qsize() >= AHEAD:
            self._room.clear()

    def flush(self) -> None:
        """There is nothing to flush."""


async def results(services: Services, job: Job, source: Source) -> AsyncGenerator[BatchResult, None]:
    """Every row's result, in the job's order; then raises what stopped the batch, if something did.

    Left early, it sends nothing more and waits for what is in flight, since that is paid for.
    """
    import asyncio

    lines: asyncio.Queue[bytes | None] = asyncio.Queue()
    room = asyncio.Event()
    batch = Batch(services, job, source, quiet=True, live=False)
    batch.emitter = lambda finisher: Feed(finisher, lines, room)
    batch.listens = False
    task = asyncio.create_task(batch.run())
    task.add_done_callback(lambda _: lines.put_nowait(None))
    try:
        while (line := await lines.get()) is not None:
            if lines.qsize() < AHEAD // 2:
                room.set()
            yield result(line)
        outcome = await task
        if outcome.bug is not None:
            services.warn(f"rows met a bug in llmctl: {outcome.bug!r}")
        if outcome.halted is not None:
            raise outcome.halted
    finally:
        room.set()
        batch.stop()
        await asyncio.wait([task])
        source.close()
        await asyncio.to_thread(services.finish)
