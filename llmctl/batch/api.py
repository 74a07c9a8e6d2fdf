"""Batches for Python programs: rows in, results out, the command's engine between."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

import orjson

from llmctl.batch.command import Batch
from llmctl.batch.emit import Emitter
from llmctl.batch.finish import Finisher
from llmctl.batch.job import Job
from llmctl.batch.rows import Row
from llmctl.batch.source import Source
from llmctl.core.errors import UsageError
from llmctl.core.model import Usage
from llmctl.core.money import Nanos
from llmctl.services import Services

if TYPE_CHECKING:
    from asyncio import Queue

Given = str | Mapping[str, Any]
"""A prompt, or a row as it stands in a file: {"prompt" or "messages", "id", "model", "system", …}."""
Rows = Iterable[Given]
AsyncRows = AsyncIterable[Given]

AHEAD = 1000
"""Results that may wait for their reader before no other row is begun."""
BEHIND = 10_000
"""The same where they wait for a row before them: fewer would let one slow answer hold up all others."""


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
        self._rows: Iterator[Given] = iter(rows)

    def read(self, size: int) -> bytes:
        """At least `size` bytes while there are rows; UsageError for a row that is no JSON."""
        chunk = bytearray()
        for row in self._rows:
            chunk += line_of(row)
            if len(chunk) >= size:
                break
        return bytes(chunk)


def line_of(row: Given) -> bytes:
    """UsageError for a row that is no JSON."""
    try:  # the standard library's: it leaves odd texts, numbers and NaN for the row itself to answer for
        return json.dumps({"prompt": row} if isinstance(row, str) else dict(row)).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise UsageError(f"a row is neither a text nor JSON: {error}") from None


def source_of(rows: Rows | str | Path) -> Source:
    """A text or a Path names a file."""
    if isinstance(rows, str | Path):
        return Source(str(rows))
    return _named(Source(None, cast(BinaryIO, Lines(rows))))


async def gathered(rows: AsyncRows) -> Source:
    """What comes by and by, kept in a private file until all is there: it is read more than once."""
    source = _named(Source(None, io.BytesIO()))
    try:
        async for row in rows:
            source.add(line_of(row))
    except BaseException:  # the caller's own, or its cancellation
        source.close()
        raise
    return source


def _named(source: Source) -> Source:
    source.name = "rows"
    return source


class Backlog:
    """Finished rows that their reader has not taken yet; no row is begun while `room` is not set.

    Rows begin in order. So the one that all others wait for is never among those held back.
    """

    def __init__(self) -> None:
        import asyncio

        self.lines: Queue[bytes | None] = asyncio.Queue()
        self.room = asyncio.Event()
        self.room.set()
        self._size = 0

    def add(self) -> None:
        """A row has finished; its line may come later."""
        self._size += 1
        if self._size >= BEHIND or self.lines.qsize() >= AHEAD:
            self.room.clear()

    async def take(self) -> bytes | None:
        """The next line; None at the end."""
        line = await self.lines.get()
        self._size -= 1
        if self._size < BEHIND and self.lines.qsize() < AHEAD // 2:
            self.room.set()
        return line


class Feed(Emitter):
    """Hands results to an iterator; holds the sending back while too many wait."""

    def __init__(self, finisher: Finisher, backlog: Backlog) -> None:
        super().__init__(finisher, io.BytesIO())
        self.room = backlog.room
        self._backlog = backlog
        self._queue = backlog.lines

    def row(self, row: Row) -> None:
        super().row(row)
        self._backlog.add()

    def _write(self, payload: bytes) -> None:
        self._queue.put_nowait(payload)

    def flush(self) -> None:
        """There is nothing to flush."""


async def results(services: Services, job: Job, source: Source) -> AsyncGenerator[BatchResult, None]:
    """Every row's result, in the job's order; then raises what stopped the batch, if something did.

    Left early, it sends nothing more and waits for what is in flight, since that is paid for.
    """
    import asyncio

    backlog = Backlog()
    batch = Batch(services, job, source, quiet=True, live=False)
    batch.emitter = lambda finisher: Feed(finisher, backlog)
    batch.listens = False
    task = asyncio.create_task(batch.run())
    task.add_done_callback(lambda _: backlog.lines.put_nowait(None))
    try:
        while (line := await backlog.take()) is not None:
            yield result(line)
        outcome = await task
        if outcome.bug is not None:
            services.warn(f"rows met a bug in llmctl: {outcome.bug!r}")
        if outcome.halted is not None:
            raise outcome.halted
    finally:
        batch.stop()
        await asyncio.wait([task])
        source.close()
        await asyncio.to_thread(services.finish)
