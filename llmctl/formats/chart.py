"""Bars or a line in the terminal, of what stacks up along one axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TextIO

from llmctl.formats.report import PLAIN, Look, visible
from llmctl.formats.table import shortened, width

MOST_BARS = 40
"""With more labels a line is drawn, where they are points in time."""
WIDTH = 100
HEIGHT = 10
FILLS = "█▓▒░#=+."
COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red", "bright_cyan", "bright_magenta")
EIGHTHS = " ▁▂▃▄▅▆▇█"

Part = tuple[str, int | None]
"""A piece of a line, and the series whose colour it has."""


@dataclass(frozen=True, slots=True)
class Series:
    """Values by label, 0 where there is nothing; at most as many series as there are `FILLS`."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Series over the same labels. `show` writes a value for people; `timed`: the labels are time."""

    title: str
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    show: Callable[[float], str] = str
    timed: bool = False
    note: str = ""

    @property
    def sums(self) -> list[float]:
        """What all series come to, by label."""
        return [sum(values) for values in zip(*(series.values for series in self.series), strict=True)]


def write(chart: Chart, stream: TextIO, look: Look = PLAIN) -> None:
    """Horizontal bars; for many points in time a line. Only a styled look has control codes."""
    lines: list[list[Part]] = [[(chart.title, None)]]
    if not any(chart.sums):
        lines.append([("nothing to draw", None)])
    elif chart.timed and len(chart.labels) > MOST_BARS:
        lines += _line(chart, look.width or WIDTH)
    else:
        lines += _bars(chart, look.width or WIDTH)
    if chart.note:
        lines.append([(chart.note, None)])
    if look.styled:
        _styled(lines, stream, look)
    else:
        stream.write("".join("".join(part for part, _ in line).rstrip() + "\n" for line in lines))


def _styled(lines: list[list[Part]], stream: TextIO, look: Look) -> None:
    from rich.text import Text

    from llmctl.formats.styled import console

    out = console(stream, look)
    for number, line in enumerate(lines):
        text = Text(style="bold" if number == 0 else "", no_wrap=True, end="\n")
        for part, series in line:
            text.append(part, None if series is None else COLOURS[series % len(COLOURS)])
        out.print(text, crop=True)


def _bars(chart: Chart, most: int) -> list[list[Part]]:
    labels = [shortened(visible(label), max(10, most // 3)) for label in chart.labels]
    left = max(map(width, labels))
    shown = [chart.show(total) for total in chart.sums]
    room = max(10, most - left - max(map(len, shown)) - 4)
    scale = room / max(chart.sums)
    lines: list[list[Part]] = []
    for place, (label, said) in enumerate(zip(labels, shown, strict=True)):
        line: list[Part] = [(label + " " * (left - width(label)) + "  ", None)]
        line += _stack([series.values[place] for series in chart.series], scale)
        lines.append([*line, (f" {said}", None)])
    return lines + _legend(chart)


def _stack(values: Sequence[float], scale: float) -> list[Part]:
    """Pieces whose ends are where the sums up to there are, so that rounding never adds up."""
    parts: list[Part] = []
    total = 0.0
    drawn = 0
    for number, value in enumerate(values):
        total += value
        end = round(total * scale)
        # What is there is seen, however little it is.
        if value and end == drawn and number == 0:
            end = 1
        if end > drawn:
            parts.append((FILLS[number % len(FILLS)] * (end - drawn), number))
            drawn = end
    return parts


def _legend(chart: Chart) -> list[list[Part]]:
    if len(chart.series) < 2:
        return []
    return [
        [(f"{FILLS[number % len(FILLS)] * 2} ", number), (visible(series.name), None)]
        for number, series in enumerate(chart.series)
    ]


def _line(chart: Chart, most: int) -> list[list[Part]]:
    """The sums over time as a filled line, neighbours added up where there are more than columns."""
    top = max(len(chart.show(value)) for value in (*chart.sums, sum(chart.sums))) + 1
    points, together = _squeezed(chart.sums, max(10, most - top))
    highest = max(points)
    levels = [round(value / highest * HEIGHT * 8) or (1 if value else 0) for value in points]
    lines: list[list[Part]] = []
    for row in reversed(range(HEIGHT)):
        said = chart.show(highest) if row == HEIGHT - 1 else ""
        cells = "".join(EIGHTHS[min(8, max(0, level - row * 8))] for level in levels)
        lines.append([(said.rjust(top - 1) + " ", None), (cells, 0)])
    first, last = visible(chart.labels[0]), visible(chart.labels[-1])
    lines.append([(" " * top + first + last.rjust(max(len(last) + 1, len(points) - len(first))), None)])
    if together > 1:
        lines.append([(f"each column is {together} of {len(chart.labels)}", None)])
    return lines


def _squeezed(values: Sequence[float], most: int) -> tuple[list[float], int]:
    """At most so many points, sums of so many neighbours (the first perhaps of fewer), and how many."""
    together = -(-len(values) // most)
    first = len(values) % together
    points = [sum(values[place : place + together]) for place in range(first, len(values), together)]
    return ([sum(values[:first]), *points] if first else points), together
