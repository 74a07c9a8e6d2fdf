"""Posts a message to a web address, signed by Standard Webhooks (standardwebhooks.com).

    webhook-id         the message's, the same for every attempt
    webhook-timestamp  Unix seconds of this attempt
    webhook-signature  v1,base64(HMAC-SHA256(key, "id.timestamp.body"))

A key that begins with `whsec_` is base64 after that; any other is taken as it is.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from http.client import HTTPException
from typing import Any
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from llmctl.core.addresses import host_of, is_loopback, refuse_resolved
from llmctl.core.errors import ConfigError
from llmctl.notify.destination import Refused

AGAIN = (408, 425, 429)


class _NoRedirects(HTTPRedirectHandler):
    """What was meant for one address goes to no other."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def post(address: str, body: bytes, id: str, key: str | None, seconds: float) -> None:
    """Sends once. Refused where the answer is no 2xx, or none comes within `seconds` of silence."""
    headers = {"Content-Type": "application/json", "User-Agent": "llmctl", "webhook-id": id}
    if key is not None:
        headers |= signature(key, id, int(time.time()), body)
    request = Request(address, body, headers, method="POST")  # noqa: S310  # http or https, by destination()
    try:
        with _opener(address).open(request, timeout=seconds):
            return
    except OSError as error:  # HTTPError is one
        status = getattr(error, "code", None)
        if status is None:
            raise Refused(_why(error), again=True) from None
        raise Refused(f"status {status}", again=status >= 500 or status in AGAIN) from None
    except (HTTPException, ValueError) as error:
        raise Refused(type(error).__name__, again=isinstance(error, HTTPException)) from None


def judge_resolved(address: str, *, plain: bool) -> None:
    """ForbiddenAddress where its name leads to a metadata service, or by http:// off this machine."""
    import socket

    host = host_of(address)
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return  # unknown: whoever connects says so, or a proxy knows it
    near_only = address.lower().startswith("http:") and not plain
    refuse_resolved(host, [str(place[4][0]) for place in found], plain=near_only)


def signature(key: str, id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The two headers that let a receiver know who sent the body, and when."""
    signed = f"{id}.{timestamp}.".encode() + body
    mac = hmac.new(_bytes(key), signed, "sha256").digest()
    value = base64.b64encode(mac).decode()
    return {"webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{value}"}


def _bytes(key: str) -> bytes:
    if not key.startswith("whsec_"):
        return key.encode()
    try:
        return base64.b64decode(key.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ConfigError(
            "notify_key: after whsec_ comes base64, and this is none", hint="copy the key again"
        ) from None


def _opener(address: str) -> OpenerDirector:
    """Through the environment's proxy, but to this machine directly."""
    near = is_loopback(host_of(address))
    return build_opener(_NoRedirects, *([ProxyHandler({})] if near else []))


def _why(error: OSError) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return getattr(reason, "strerror", None) or str(reason) or type(error).__name__
