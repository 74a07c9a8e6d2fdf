"""The usage report as a chart: money, or calls where nothing has a price."""

from __future__ import annotations

from datetime import date, datetime

from llmctl.core.money import NANO, show_usd
from llmctl.formats.chart import FILLS, Chart, Series
from llmctl.formats.usage import priceless
from llmctl.usage import times
from llmctl.usage.report import Group, Report

MOST_LABELS = 2000
"""Gaps in time are filled up to so many labels."""
OTHER = "other"


def chart(report: Report) -> Chart:
    """The first grouping of time, else the first of all, along the axis; the others stack up."""
    by = report.query.by
    unit = next((name for name in ("hour", "day", "month") if name in by), None)
    axis = unit or (by[0] if by else None)
    money = bool(report.total.cost)
    values: dict[str, dict[str, float]] = {}
    for group in report.groups:
        label = _text(group, axis) if axis else "all"
        name = " · ".join(_text(group, other) for other in by if other != axis and other not in times.LENGTHS)
        row = values.setdefault(name, {})
        row[label] = row.get(label, 0.0) + ((group.cost or 0) / NANO if money else group.calls)
    labels = list(dict.fromkeys(label for row in values.values() for label in row))
    if unit and labels:
        labels = _filled(sorted(labels), unit, report.query.tz)
    return Chart(
        title=f"{'cost in USD' if money else 'calls'}{f' by {axis}' if axis else ''}",
        labels=tuple(labels),
        series=_series(values, labels),
        show=_usd if money else _count,
        timed=unit is not None,
        note=priceless(report.total.unpriced),
    )


def _text(group: Group, name: str) -> str:
    return group.key[name] or "-"


def _usd(value: float) -> str:
    return show_usd(round(value * NANO))


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _series(values: dict[str, dict[str, float]], labels: list[str]) -> tuple[Series, ...]:
    """The largest first; what is more than can be told apart is one series."""
    names = sorted(values, key=lambda name: sum(values[name].values()), reverse=True)
    most = len(FILLS) if len(names) <= len(FILLS) else len(FILLS) - 1
    found = [Series(name, tuple(values[name].get(label, 0.0) for label in labels)) for name in names[:most]]
    if rest := names[most:]:
        sums = (sum(values[name].get(label, 0.0) for name in rest) for label in labels)
        found.append(Series(f"{OTHER} ({len(rest)})", tuple(sums)))
    return tuple(found)


def _filled(labels: list[str], unit: str, tz: str | None) -> list[str]:
    """With the hours, days or months between, in which nothing was asked."""
    where = times.zone(tz)
    start, end = _start(labels[0], unit, where), _start(labels[-1], unit, where)
    if (end - start) / {"hour": 3600, "day": 86400, "month": 28 * 86400}[unit] > MOST_LABELS:
        return labels
    found = [name for _, _, name in times.split(start, end + 1, unit, where)]
    return found if set(labels) <= set(found) else labels


def _start(label: str, unit: str, where: times.Zone) -> float:
    if unit == "hour":
        return datetime.fromisoformat(label).timestamp()
    return times.midnight(date.fromisoformat(label if unit == "day" else f"{label}-01"), where)
