"""Alert rules and how they stand, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from llmctl.formats.report import Column, Row, Shown, Table
from llmctl.usage import alerts, times
from llmctl.usage.episodes import Episode

COLUMNS = (
    Column("alert", key="name"),
    Column("value", "right"),
    Column("limit", "right"),
    Column("calls", "right", extra=2),
    Column("window", "right", "window_s", extra=1),
    Column("state"),
    Column("since"),
)


def table(episodes: Sequence[Episode]) -> Table:
    """A row for each rule."""
    return Table("", COLUMNS, [_row(each) for each in episodes], note="" if episodes else "no alerts")


def _row(each: Episode) -> Row:
    rule, reading = each.rule, each.reading
    standing = rule.metric in alerts.STANDING
    window = alerts.window(rule)
    since = None if each.since is None else times.iso(int(each.since), None)
    return [
        alerts.name(rule),
        Shown(reading.value, alerts.shown(rule, reading.value)),
        Shown(alerts.limit(rule), alerts.shown(rule, alerts.limit(rule))),
        None if standing else reading.calls,
        None if standing else Shown(window, alerts.spell(window)),
        each.standing,
        since,
    ]
