"""Host names into addresses, in threads that hold nobody up."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import pytest

from llmctl.providers.gate import LOOKED_UP_S, Gate
from llmctl.providers.lookup import Lookup


def test_a_name_has_its_addresses() -> None:
    """As aiohttp wants them: numeric, with the port that was asked for."""
    found = asyncio.run(Lookup().resolve("localhost", 8080, socket.AF_INET))
    assert ("127.0.0.1", 8080) in {(each["host"], each["port"]) for each in found}


@pytest.mark.parametrize("name", ["no-such-host.invalid", "two..dots", "x" * 64 + ".invalid"])
def test_a_name_without_an_address_is_the_systems_own_error(name: str) -> None:
    """Which is told as an unknown host; a name that can be none must not end as a bug."""
    with pytest.raises(OSError, match=r"."):
        asyncio.run(Lookup().resolve(name, 80))


def test_a_silent_name_server_holds_up_neither_the_caller_nor_the_loops_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """asyncio's own lookup is waited for when its loop ends."""
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(30) and [])

    async def ask() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(Lookup().resolve("silent.example", 80), 0.05)

    began = time.monotonic()
    asyncio.run(ask())
    assert time.monotonic() - began < 20
    answered.set()  # the late answer to a loop that is gone


def test_a_host_is_looked_up_again_only_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread for each of a batch's rows would take a fifth of a call's time; for ever would miss a move."""
    looked: list[str] = []
    now = [1000.0]
    real = socket.getaddrinfo

    def look(host: str, *where: Any, **how: Any) -> Any:
        looked.append(host)
        return real(host, *where, **how)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    monkeypatch.setattr("llmctl.providers.gate.time.monotonic", lambda: now[0])
    gate = Gate()
    for later in (0.0, LOOKED_UP_S - 1.0, 1.5):
        now[0] += later
        asyncio.run(gate.admit_resolved("http://localhost:1/v1"))
    assert looked == ["localhost"] * 2
