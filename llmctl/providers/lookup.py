"""Host names into addresses, in threads that nobody waits for.

The system's resolver cannot be interrupted, and asyncio waits for its threads when the loop ends: a
name server that is silent would hold the command for a minute after its deadline.
"""

from __future__ import annotations

import socket
from collections.abc import Collection
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

from llmctl.core.addresses import refuse_resolved

if TYPE_CHECKING:
    from asyncio import Future

Found = list[tuple[Any, ...]]


class Lookup:
    """Has the methods of aiohttp's resolvers. OSError where a name has no address.

    ForbiddenAddress where it leads to a metadata service, or one of the `plain` hosts off this machine: no
    connection is made.
    """

    def __init__(self, plain: Collection[str] = ()) -> None:
        self._plain = plain

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[dict[str, Any]]:
        found = [
            {
                "hostname": host,
                "host": _numeric(address),
                "port": port,
                "family": of,
                "proto": proto,
                "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            }
            for of, _, proto, _, address in await _found(host, port, family)
        ]
        refuse_resolved(host, [place["host"] for place in found], plain=host in self._plain)
        return found

    async def close(self) -> None:
        """Nothing is open; a thread that still waits ends with the process."""


async def _found(host: str, port: int, family: socket.AddressFamily) -> Found:
    import asyncio

    loop = asyncio.get_running_loop()
    answer: Future[Found] = loop.create_future()

    def give(found: Found, error: OSError | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(found)
        else:
            answer.set_exception(error)

    def ask() -> None:
        found: Found = []
        failed: OSError | None = None
        try:
            found = socket.getaddrinfo(
                host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
            )
        except OSError as error:
            failed = error
        except UnicodeError:  # no name that could have an address
            failed = socket.gaierror(socket.EAI_NONAME, "not a host's name")
        with suppress(RuntimeError):  # the loop has ended meanwhile: nobody wants to know any more
            loop.call_soon_threadsafe(give, found, failed)

    Thread(target=ask, name=f"lookup {host}", daemon=True).start()
    return await answer


def _numeric(address: tuple[Any, ...]) -> str:
    """The address as text, with its zone where it has one (IPv6, link-local)."""
    if len(address) == 4 and address[3]:
        return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
    return str(address[0])
