"""Requests, and how they are read off the wire."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from .answer import Json, require


class Malformed(Exception):
    """The bytes are no HTTP request."""


class Request:
    """A request as it came in."""

    __slots__ = ("arrived", "body", "headers", "method", "path", "query", "raw")

    def __init__(self, method: str, target: str, headers: dict[str, str], raw: bytes) -> None:
        path, _, query = target.partition("?")
        self.method = method
        self.path = unquote(path)
        self.query = dict(parse_qsl(query)) if query else {}
        self.headers = headers
        self.raw = raw
        self.arrived = time.monotonic()
        self.body = _parsed(raw)

    def json_object(self) -> Json:
        """The body, refused unless it is a JSON object."""
        require(isinstance(self.body, dict), "The body of the request is not a JSON object.")
        return dict(self.body)

    def bearer(self) -> str:
        """The key of `Authorization: Bearer KEY`, else nothing."""
        kind, _, key = self.headers.get("authorization", "").partition(" ")
        return key.strip() if kind.lower() == "bearer" else ""


def take_request(buffer: bytearray) -> Request | None:
    """The first whole request, taken out of the buffer; None while it is not whole."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = buffer[:end].decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    try:
        method, target, _ = first.split(" ")
        found = _take_body(buffer, end + 4, headers)
    except ValueError as error:
        raise Malformed(first) from error
    if found is None:
        return None
    raw, consumed = found
    del buffer[:consumed]
    return Request(method, target, headers, raw)


def _take_body(buffer: bytearray, start: int, headers: dict[str, str]) -> tuple[bytes, int] | None:
    """The body and where it ends."""
    if headers.get("transfer-encoding", "").lower() != "chunked":
        end = start + int(headers.get("content-length", 0))
        return (bytes(buffer[start:end]), end) if len(buffer) >= end else None
    parts: list[bytes] = []
    while (line := buffer.find(b"\r\n", start)) >= 0:
        size = int(buffer[start:line], 16)
        begin, start = line + 2, line + 4 + size
        if len(buffer) < start:
            return None
        if size == 0:
            return b"".join(parts), start
        parts.append(bytes(buffer[begin : begin + size]))
    return None


def _parsed(raw: bytes) -> Any:
    """JSON where it is that, else text; nothing is None."""
    if not raw:
        return None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw.decode("utf-8", "replace")
