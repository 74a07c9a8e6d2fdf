"""What stands before every request: its method, its Host, the token, and the headers of every answer.

A page on the internet may make a browser ask 127.0.0.1 under a name of its own (DNS rebinding): so
a Host that is not this server's is refused. Nothing here changes anything, so only reading is served.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import orjson

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class Guard:
    """Wraps an app. `hosts` are names it may be called by; with a `token` any address of numbers is too.

    `failed` is told of a fault of our own, which the client gets as a 500 without a word of it.
    """

    def __init__(
        self, app: App, hosts: frozenset[str], token: str | None, failed: Callable[[Exception], None]
    ) -> None:
        self.app = app
        self.hosts = hosts
        self.token = token
        self.failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began = False

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                message["headers"] = [*message.get("headers", ()), *_raw(HEADERS)]
            await send(message)

        headers = {name.lower(): value for name, value in scope["headers"]}
        if refusal := self._refusal(scope["method"], headers):
            await _answer(sending, *refusal)
            return
        try:
            await self.app(scope, receive, sending)
        except Exception as error:  # noqa: BLE001  # a bug of ours: told to who runs it, not to who asked
            self.failed(error)
            if not began:
                await _answer(sending, 500, "a bug in llmctl", {})

    def _refusal(self, method: str, headers: dict[bytes, bytes]) -> tuple[int, str, dict[str, str]] | None:
        if not self._knows(headers.get(b"host", b"").decode("latin-1")):
            return 403, "this server is not known by that name", {}
        if method not in ("GET", "HEAD"):
            return 405, "there is nothing here but to read", {"allow": "GET, HEAD"}
        if self.token is not None and not self._may(headers.get(b"authorization", b"").decode("latin-1")):
            told = {
                "www-authenticate": 'Basic realm="llmctl: any name, the token as password", charset="UTF-8"'
            }
            return 401, "a token is needed", told
        return None

    def _knows(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self.hosts:
            return True
        return self.token is not None and _is_address(name)

    def _may(self, said: str) -> bool:
        """By `Bearer TOKEN`, or by the password that a browser asks for."""
        kind, _, given = said.partition(" ")
        if kind.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).decode("utf-8", "replace").partition(":")[2]
            except (binascii.Error, ValueError):
                return False
        elif kind.lower() != "bearer":
            return False
        assert self.token is not None
        return hmac.compare_digest(given.strip().encode(), self.token.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _answer(send: Send, status: int, message: str, headers: dict[str, str]) -> None:
    body = orjson.dumps({"schema": 1, "error": {"type": "refused", "message": message, "status": status}})
    told = {"content-type": "application/json", "cache-control": "no-store", **headers}
    await send({"type": "http.response.start", "status": status, "headers": _raw(told)})
    await send({"type": "http.response.body", "body": body + b"\n"})


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
