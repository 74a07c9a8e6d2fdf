"""What happens while somebody looks, as server-sent events: batches on their way, calls in the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import orjson

from llmctl.batch.running import batches

EVERY_S = 1.0
LOOK_S = 0.2
"""How soon the end of the server is noticed."""
QUIET_S = 15.0
"""After so long without news a line says that the connection stands."""


async def events(home: Path, closing: Callable[[], bool]) -> AsyncIterator[bytes]:
    """`batches` with all of them whenever they have changed; `ledger` when calls were written."""
    import asyncio

    shown: bytes | None = None
    stamp = _stamp(home)
    quiet = 0.0
    yield b"retry: 2000\n\n"
    while not closing():
        told = await asyncio.to_thread(_batches, home)
        if told != shown:
            shown, quiet = told, 0.0
            yield b"event: batches\ndata: " + told + b"\n\n"
        if (now := _stamp(home)) != stamp:
            stamp, quiet = now, 0.0
            yield b"event: ledger\ndata: {}\n\n"
        if quiet >= QUIET_S:
            quiet = 0.0
            yield b": still here\n\n"
        waited = 0.0
        while waited < EVERY_S and not closing():
            await asyncio.sleep(LOOK_S)
            waited += LOOK_S
        quiet += waited


def _batches(home: Path) -> bytes:
    return orjson.dumps({"schema": 1, "batches": [each.envelope() for each in batches(home)]})


def _stamp(home: Path) -> tuple[tuple[int, int], ...]:
    """Changes with every write to the ledger."""
    found = []
    for name in ("ledger.db", "ledger.db-wal"):
        try:
            stat = (home / name).stat()
        except OSError:
            continue
        found.append((stat.st_mtime_ns, stat.st_size))
    return tuple(found)
