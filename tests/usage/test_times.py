"""Times as people write them, and the days they fall on."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmctl.core.errors import UsageError
from llmctl.usage.times import iso, midnight, moment, name, split, zone

from .kit import when

NOW = when("2026-11-22T15:30")
MADRID = zone("Europe/Madrid")
NEW_YORK = zone("America/New_York")


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("7d", NOW - 7 * 86400),
        ("24h", NOW - 86400),
        ("1.5h", NOW - 5400),
        ("90m", NOW - 5400),
        ("2W", NOW - 14 * 86400),
        ("now", NOW),
        ("today", when("2026-11-22")),
        ("yesterday", when("2026-11-21")),
        ("2026-11", when("2026-11-01")),
        ("2026-11-22", when("2026-11-22")),
        (" 20261122 ", when("2026-11-22")),
        ("2026-11-22T14:30", when("2026-11-22T14:30")),
        ("2026-11-22 14:30:05", when("2026-11-22T14:30:05")),
        ("2026-11-22T14:30Z", when("2026-11-22T14:30")),
        ("2026-11-22T14:30+01:00", when("2026-11-22T13:30")),
    ],
)
def test_what_people_write_is_understood(said: str, found: float) -> None:
    """Dates, times, and so long ago: what `git log --since` has taught."""
    assert moment(said, NOW, UTC) == found


@pytest.mark.parametrize(
    ("said", "found"), [("2026-11-22", "2026-11-23"), ("2026-12", "2027-01-01"), ("today", "2026-11-23")]
)
def test_an_end_is_the_end_of_that_day_or_month(said: str, found: str) -> None:
    """`--since 2026-11-01 --until 2026-11-30` is the whole of November to whoever writes it."""
    assert moment(said, NOW, UTC, end=True) == when(found)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "soon",
        "3x",
        "-7d",
        "2026-13-01",
        "2026-02-30",
        "99999-01-01",
        "nan",
        "7 days",
        "1e9",
        "٣d" + "x",
        "999999d",
    ],
)
def test_what_is_no_time_is_refused_with_an_example(said: str) -> None:
    """A wrong window would be a wrong bill, so nothing is guessed."""
    with pytest.raises(UsageError) as refused:
        moment(said, NOW, UTC)
    assert "for example 7d" in refused.value.hint


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("Europe/Madird", "did you mean Europe/Madrid?"),
        ("new york", "did you mean America/New_York?"),
        ("", "Europe/Madrid"),
        ("../../etc/passwd", "Europe/Madrid"),
        ("Europe", "Europe"),
        ("/etc/localtime", ""),
        ("UTC\0", ""),
    ],
)
def test_an_unknown_zone_names_the_nearest(said: str, hint: str) -> None:
    """A zone that silently became UTC would put calls on the wrong day; a path is no zone."""
    with pytest.raises(UsageError) as refused:
        zone(said)
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("where", "day", "hours"),
    [
        ("Europe/Madrid", "2026-03-29", 23),
        ("Europe/Madrid", "2026-10-25", 25),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Africa/Cairo", "2026-04-24", 23),  # its midnight is skipped
        ("America/Havana", "2026-11-01", 25),  # its midnight comes twice
        ("Asia/Kathmandu", "2026-03-29", 24),
    ],
)
def test_days_have_the_hours_that_they_have(where: str, day: str, hours: int) -> None:
    """A call at 23:30 of a short day must not slip into the next."""
    here = zone(where)
    start = midnight(datetime.fromisoformat(day).date(), here)
    parts = list(split(start - 3600, start + 26 * 3600, "day", here))
    inside = [(first, last) for first, last, said in parts if said == day]
    assert [last - first for first, last in inside] == [hours * 3600]
    assert sum(last - first for first, last, _ in parts) == 27 * 3600
    names = [said for *_, said in split(start, start + hours * 3600, "hour", here)]
    assert len(names) == len(set(names)) == hours
    assert {said[:10] for said in names} == {day}


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    """In autumn 02:00 to 03:00 happens twice: two hours of a report, told apart by their offset."""
    start = when("2026-10-25T00:00")
    names = [said for *_, said in split(start, start + 7200, "hour", MADRID)]
    assert names == ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"]


def test_half_hours_of_summer_time() -> None:
    """Lord Howe Island moves its clock by 30 minutes, so one of its hours is half as long."""
    here = zone("Australia/Lord_Howe")
    start = when("2026-10-03T14:00")
    parts = list(split(start, start + 4 * 3600, "hour", here))
    assert sum(last - first for first, last, _ in parts) == 4 * 3600
    assert 1800 in [last - first for first, last, _ in parts]
    assert len({said for *_, said in parts}) == len(parts)


def test_months_are_cut_where_they_meet() -> None:
    """The first of the month at 00:30 in Madrid is still the old month in New York."""
    at = when("2026-12-01T00:30", "Europe/Madrid")
    assert name(at, "month", MADRID) == "2026-12"
    assert name(at, "month", NEW_YORK) == "2026-11"
    names = [said for *_, said in split(when("2026-11-15"), when("2027-01-15"), "month", MADRID)]
    assert names == ["2026-11", "2026-12", "2027-01"]


def test_without_a_name_the_machine_says_where_it_is(tmp_path: Path) -> None:
    """A user in Madrid reads days of Madrid without asking for them, its summer time included."""
    code = """
from llmctl.usage.times import *
for at in (1792882800.0, 1792886400.0, 1792969200.0):
    print(name(at, "day", None), name(at, "hour", None), iso(at, None))
print(len(list(split(1792879200.0, 1792969200.0, "hour", None))))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"TZ": "Europe/Madrid", "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "2026-10-25 2026-10-25T01:00+02:00 2026-10-25T01:00:00+02:00",
        "2026-10-25 2026-10-25T02:00+02:00 2026-10-25T02:00:00+02:00",
        "2026-10-26 2026-10-26T00:00+01:00 2026-10-26T00:00:00+01:00",
        "25",
    ]


def test_moments_are_written_with_their_zone() -> None:
    """A time without its zone is a riddle to whoever reads the JSON."""
    assert iso(NOW + 0.25, MADRID) == "2026-11-22T16:30:00.250+01:00"
    assert iso(NOW, UTC) == "2026-11-22T15:30:00+00:00"
