"""Runs the async core: one event loop for the command's life, and none where nothing waits.

A cached answer never waits for anything, and importing asyncio costs as much as serving it. So a
coroutine is first run by hand; only when it is about to wait does it ask for the loop (`loop()`),
and then the very same coroutine goes on inside it.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, TypeVar, cast

T = TypeVar("T")
_LOOP_WANTED = object()


@types.coroutine
def loop() -> Generator[object, None, None]:
    """Awaited before anything that needs an event loop; does nothing where one runs already."""
    import sys

    asyncio = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is None:
        yield _LOOP_WANTED


def run(awaitable: Awaitable[T]) -> T:
    """A coroutine's result. Cancelled by SIGINT as `asyncio.run` does."""
    coroutine = cast("Coroutine[Any, Any, T]", awaitable)
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    import asyncio

    return asyncio.run(_go_on(coroutine))


async def _go_on(coroutine: Coroutine[Any, Any, T]) -> T:
    return await _resumed(coroutine)


@types.coroutine
def _resumed(coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Drives a coroutine that has already begun, passing on what it awaits and what is thrown in."""
    step: Any = coroutine.send
    value: Any = None
    while True:
        try:
            awaited = step(value)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # the coroutine's own type
        try:
            value, step = (yield awaited), coroutine.send
        except BaseException as error:  # noqa: BLE001  # cancellation goes to the coroutine like any other error
            value, step = error, coroutine.throw
