"""A request's identity: one hash over all that decides its answer.

Two requests are the same question when model, endpoint, messages, parameters, schema and extra
headers are; keys, time limits, tags and concurrency are no part of it.
"""

from __future__ import annotations

from _blake2 import blake2b  # hashlib would load OpenSSL first: 5 ms of every start
from typing import Any

import orjson

from llmctl.core.model import Request

PART = 12
"""Hexadecimal digits of a part's hash."""
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


def parts(request: Request) -> dict[str, Any]:
    """What the identity is made of, by name: numbers, model and address as they are, all else as a hash."""
    target, messages = request.target, request.messages
    last = len(messages) - 1 if messages and messages[-1].get("role") == "user" else len(messages)
    found: dict[str, Any] = {
        "model": target.model,
        "api_base": target.api_base,
        "headers": _part(dict(target.headers)),
        "system": _part([each for each in messages[:last] if each.get("role") == "system"]),
        "earlier turns": _part([each for each in messages[:last] if each.get("role") != "system"]),
        "prompt": _part(messages[last:]),
        "schema": _part(request.schema),
    }
    return found | {f"params.{_name(name)}": _part(value) for name, value in request.params.items()}


def _name(name: str) -> str:
    """A parameter's name; as a hash where it is like none that there is: it may be a text of the user."""
    return name if name.replace("_", "").isalpha() else digest(name.encode("utf-8"))[:PART]


def _part(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    return digest(canonical(value))[:PART] if value else None


def digest(data: bytes) -> str:
    """BLAKE2b of 256 bits in hexadecimal: the one hash used for keys, checksums and logs."""
    return blake2b(data, digest_size=32).hexdigest()


def clean(text: str) -> str:
    """The text with lone surrogates written out (`\\ud83d`), since no encoder downstream takes them."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
