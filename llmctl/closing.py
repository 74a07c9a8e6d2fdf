"""How what services have opened is written and closed: each part, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

FLUSHED = ("desk", "ledger", "log")
CLOSED = ("cache", "neighbours", "ledger", "state", "log")


def flush(opened: Mapping[str, Any]) -> None:
    """Writes what has been gathered, of the cache only now and then: its answers are elsewhere too.

    `opened` are parts by name, those not asked for yet missing. StorageError where the ledger cannot be
    written.
    """
    if opened.get("cache") is not None:
        opened["cache"].tick()
    for name in FLUSHED:
        if opened.get(name) is not None:
            opened[name].flush()


async def close(opened: Mapping[str, Any]) -> None:
    """Ends connections and files. Where several cannot be ended the last one's error is raised."""
    async with AsyncExitStack() as steps:  # which takes them from the last to the first
        for name in reversed(CLOSED):
            if opened.get(name) is not None:
                steps.callback(opened[name].close)
        if opened.get("desk") is not None:
            steps.callback(opened["desk"].flush)
        if opened.get("pools") is not None:
            steps.callback(opened["pools"].save)
        if "connections" in opened:
            steps.push_async_callback(opened["connections"].close)
