"""Time in reports: what a user writes, zones, and the days, hours and months that calls fall on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo

from llmctl.core.errors import UsageError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
AGO = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s?([smhdw])\Z")
MONTH = re.compile(r"(\d{4})-(\d{2})\Z")
EXAMPLES = "for example 7d, 24h, today, 2026-11, 2026-11-22 or 2026-11-22T14:30+01:00"

EARLIEST, LATEST = -2_208_988_800.0, 253_370_764_800.0
"""The years 1900 and 9999."""
LENGTHS = {"hour": 99, "day": 10, "month": 7}
"""How much of an hour's name is the name of its day and of its month."""

Zone = tzinfo | None
"""None is the machine's own zone."""


def zone(name: str | None) -> Zone:
    """The zone of an IANA name. UsageError, with the nearest right name, for any other."""
    if name is None:
        return None
    if name.upper() in ("UTC", "Z"):
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"--tz {name}: not a time zone known here", hint=_nearest(name)) from None


def _nearest(name: str) -> str:
    from difflib import get_close_matches
    from zoneinfo import available_timezones

    known = sorted(available_timezones())
    if not known:
        return "this system has no time zones but UTC: install tzdata"
    lower = {full.lower(): full for full in known}
    lower |= {full.rpartition("/")[2].lower(): full for full in known if "/" in full}
    near = get_close_matches(name.strip().lower().replace(" ", "_"), lower, 1)
    return f"did you mean {lower[near[0]]}?" if near else "for example Europe/Madrid"


def moment(text: str, now: float, where: Zone, *, end: bool = False) -> float:
    """Unix seconds of `7d` (ago), `now`, `today`, `yesterday`, a month, a date or a time in ISO 8601.

    With `end` a day or a month is meant to its end. UsageError for anything else, and for times that
    no calendar here goes back or on to.
    """
    try:
        found = _moment(text.strip().lower(), now, where, end)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{text!r} is not a time", hint=EXAMPLES) from None
    if not EARLIEST <= found <= LATEST:
        raise UsageError(f"{text!r} is too far away", hint=EXAMPLES)
    return found


def _moment(said: str, now: float, where: Zone, end: bool) -> float:
    if said == "now":
        return now
    if ago := AGO.match(said):
        return now - float(ago[1]) * UNITS[ago[2]]
    if (day := _day(said, now, where)) is not None:
        return midnight(day[1] if end else day[0], where)
    at = datetime.fromisoformat(said.upper())
    return (at if at.tzinfo else at.replace(tzinfo=where)).timestamp()


def _day(said: str, now: float, where: Zone) -> tuple[date, date] | None:
    """A day or a month as its first day and the day after it; None for anything finer."""
    if said in ("today", "yesterday"):
        day = datetime.fromtimestamp(now, where).date() - timedelta(days=said == "yesterday")
    elif found := MONTH.match(said):
        first = date(int(found[1]), int(found[2]), 1)
        return first, next_month(first)
    elif len(said) > 10 or ":" in said:
        return None
    else:
        day = date.fromisoformat(said)
    return day, day + timedelta(days=1)


def midnight(day: date, where: Zone) -> float:
    """Unix seconds at which a day begins, also where its midnight is skipped or comes twice."""
    return datetime(day.year, day.month, day.day, tzinfo=where).timestamp()


def next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def offset(at: float, where: Zone) -> float:
    """Seconds that the zone is ahead of UTC at that time."""
    ahead = datetime.fromtimestamp(at, where or UTC).astimezone(where).utcoffset()
    return ahead.total_seconds() if ahead is not None else 0.0


def split(start: float, end: float, unit: str, where: Zone) -> Iterator[tuple[float, float, str]]:
    """Cuts [start, end) at the zone's days, hours or months: (start, end, name) of each part.

    Names are `2026-11`, `2026-11-22` and `2026-11-22T14:00+01:00`: the hour that comes twice when
    summer ends is two hours, and days have the 23 or 25 hours that they have.
    """
    while start < end:
        name, stop = _hour(start, where) if unit == "hour" else _date(start, unit, where)
        stop = min(max(stop, start + 1), end)
        yield start, stop, name
        start = stop


def name(at: float, unit: str, where: Zone) -> str:
    """The name of the hour, day or month that a time falls on."""
    return _hour(at, where)[0] if unit == "hour" else _date(at, unit, where)[0]


def _date(at: float, unit: str, where: Zone) -> tuple[str, float]:
    day = datetime.fromtimestamp(at, where).date()
    if unit == "month":
        return f"{day.year:04}-{day.month:02}", midnight(next_month(day), where)
    return day.isoformat(), midnight(day + timedelta(days=1), where)


def _hour(at: float, where: Zone) -> tuple[str, float]:
    ahead = offset(at, where)
    start = (at + ahead) // 3600 * 3600 - ahead
    stop = start + 3600
    if offset(stop - 1, where) != ahead:
        stop = _change(at, stop, where)
    return iso(at, where, hour=True), stop


def _change(low: float, high: float, where: Zone) -> float:
    """The whole second in (low, high] at which the zone's offset changes."""
    before = offset(low, where)
    first, last = int(low), int(high)
    while last - first > 1:
        middle = (first + last) // 2
        first, last = (middle, last) if offset(middle, where) == before else (first, middle)
    return float(last)


def iso(at: float, where: Zone, *, hour: bool = False) -> str:
    """ISO 8601 with the zone's offset, to the millisecond, or to the full hour."""
    local = datetime.fromtimestamp(at, where or UTC).astimezone(where)
    if hour:
        return local.replace(minute=0, second=0, microsecond=0).isoformat(timespec="minutes")
    return local.isoformat(timespec="seconds" if at == int(at) else "milliseconds")
