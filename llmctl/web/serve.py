"""Runs the dashboard until a signal ends it. Needs the extra `serve`."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass

from llmctl.core.errors import ConfigError, MissingExtra, UsageError
from llmctl.services import Services
from llmctl.web.guard import LOCAL, Guard

GRACE_S = 2
"""Seconds that open connections have to end."""


@dataclass(frozen=True, slots=True)
class Door:
    """A bound socket and the address that people open."""

    socket: socket.socket
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/"


def available() -> None:
    """MissingExtra where the libraries are not installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise MissingExtra("llmctl dashboard", "serve") from None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address. UsageError where it is none."""
    return all(ipaddress.ip_address(address).is_loopback for address in _addresses(host))


def _addresses(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise UsageError(
            f"--host {host}: not an address of this machine", hint="for example 127.0.0.1, or 0.0.0.0 for all"
        ) from None
    return [str(each[4][0]).partition("%")[0] for each in found]


def bind(host: str, port: int) -> Door:
    """The door, open; port 0 takes a free one. ConfigError where the port is taken."""
    address = _addresses(host)[0]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
        bound.listen(128)
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"{host}:{port}: {(error.strerror or str(error)).lower()}",
            hint="choose another --port; 0 takes a free one",
        ) from None
    return Door(bound, host, bound.getsockname()[1])


def serve(
    opened: Services,
    door: Door,
    token: str | None,
    hosts: Collection[str],
    failed: Callable[[Exception], None],
) -> None:
    """Answers until a signal comes, which is then raised again. `hosts`: further names it is called by."""
    import logging

    import uvicorn

    from llmctl.web.app import application

    logging.getLogger("uvicorn").addHandler(logging.NullHandler())
    known = frozenset({*LOCAL, door.host.lower(), *(name.lower() for name in hosts)})
    app = application(opened, lambda: server.should_exit)
    config = uvicorn.Config(
        Guard(app, known, token, failed),
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        http="h11",
        loop="asyncio",
        timeout_graceful_shutdown=GRACE_S,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[door.socket])
