"""How long a provider asks to wait: the many ways it is written in headers and bodies."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

_SPAN = re.compile(
    r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?"
)
_UNITS = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)
_RESET = re.compile(r"(x-|anthropic-)?ratelimit.*\breset\b")
_AGAIN_IN = re.compile(r"(?:try again|retry) (?:in|after) (\d[\d.hms]*)", re.IGNORECASE)
_EPOCH, _EPOCH_MS = 1e9, 1e12  # no wait is 30 years long: such a number is a date


def retry_after(
    headers: Mapping[str, str], body: Any = None, now: float | None = None, *, limited: bool = True
) -> float | None:
    """Seconds from `now` (Unix seconds, default: the clock) that the provider asked to wait, or None.

    Read in this order: `retry-after-ms`; `Retry-After` as seconds or HTTP date; in the `body` (decoded
    JSON) Google's RetryInfo and "try again in 6m0s"; and, where the answer is a 429 (`limited`), the
    `…ratelimit…reset…` headers: the longest of the exhausted kinds (`remaining` is 0), else the
    shortest of all. Negative, past and senseless values count as not given.
    """
    now = time.time() if now is None else now
    told = {name.lower(): value.strip() for name, value in headers.items()}
    found = number(told.get("retry-after-ms"), 0.001)
    if found is None:
        found = moment(told.get("retry-after"), now)
    if found is None:
        found = next(_in_body(body, 0), None)
    if found is None and limited:
        found = _reset(told, now)
    return found


def number(text: str | None, unit: float = 1.0) -> float | None:
    """A number that is neither negative nor senseless, times `unit`."""
    try:
        value = float(text or "") * unit
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def moment(text: str | None, now: float) -> float | None:
    """Seconds until what a header says: a number, a span, an HTTP or RFC 3339 date, epoch (milli)seconds."""
    if not text:
        return None
    seconds = number(text)
    if seconds is None:
        span = _span(text)
        return span if span is not None else _date(text, now)
    if seconds >= _EPOCH:
        seconds = (seconds / 1000 if seconds >= _EPOCH_MS else seconds) - now
        return seconds if seconds >= 0 else None
    return seconds


def _span(text: str) -> float | None:
    found = _SPAN.fullmatch(text.strip())
    if not found or not any(found.groups()):
        return None
    return sum(float(part) * unit for part, unit in zip(found.groups(), _UNITS, strict=True) if part)


def _date(text: str, now: float) -> float | None:
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            when = parse(text)
            left = when.timestamp() - now if when.tzinfo else -1.0
        except (ValueError, TypeError, OverflowError):
            continue
        return left if left >= 0 else None
    return None


def _in_body(value: Any, depth: int) -> Iterator[float]:
    """Google's `{"@type": ….RetryInfo, "retryDelay": "37s"}`, and waits told in a message."""
    if depth > 5:
        return
    if isinstance(value, str):
        found = _AGAIN_IN.search(value)
        span = _span(found[1].rstrip(".")) if found else None
        if span is not None:
            yield span
    elif isinstance(value, Mapping):
        if "retryDelay" in value:
            span = _span(str(value["retryDelay"]))
            if span is not None:
                yield span
        for each in value.values():
            yield from _in_body(each, depth + 1)
    elif isinstance(value, list):
        for each in value[:20]:
            yield from _in_body(each, depth + 1)


def _reset(told: Mapping[str, str], now: float) -> float | None:
    waits: list[float] = []
    exhausted: list[float] = []
    for name, value in told.items():
        wait = moment(value, now) if _RESET.match(name) else None
        if wait is None:
            continue
        waits.append(wait)
        if number(told.get(name.replace("reset", "remaining"))) == 0:
            exhausted.append(wait)
    return max(exhausted) if exhausted else min(waits, default=None)
