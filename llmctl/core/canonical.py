"""A request's identity: one hash over all that decides its answer.

Two requests are the same question when model, endpoint, messages, parameters, schema and extra
headers are; keys, time limits, tags and concurrency are no part of it.
"""

from __future__ import annotations

from _blake2 import blake2b  # hashlib would load OpenSSL first: 5 ms of every start
from typing import Any

import orjson

from llmctl.core.model import Request

VERSION = 1
"""Raised when the identity's meaning changes: old cache entries and journals then no longer match."""


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, without spaces, in UTF-8: equal values give equal bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)


def identity(request: Request) -> dict[str, Any]:
    """All that decides the answer, by name (`cache explain` compares these fields)."""
    target = request.target
    return {
        "version": VERSION,
        "model": target.model,
        "api_base": target.api_base,
        "headers": dict(target.headers),
        "messages": request.messages,
        "params": dict(request.params),
        "schema": request.schema,
    }


def fingerprint(request: Request) -> str:
    """The identity as 64 hexadecimal digits (BLAKE2b, 256 bits), worked out once a request."""
    return request.fingerprint or digest(canonical(identity(request)))


def digest(data: bytes) -> str:
    """BLAKE2b of 256 bits in hexadecimal: the one hash used for keys, checksums and logs."""
    return blake2b(data, digest_size=32).hexdigest()


def clean(text: str) -> str:
    """The text with lone surrogates written out (`\\ud83d`), since no encoder downstream takes them."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
