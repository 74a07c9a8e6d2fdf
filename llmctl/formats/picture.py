"""A chart as a picture: where every bar and word stands, and the formats that draw it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from llmctl.formats.chart import Chart, Series
from llmctl.formats.report import Table, visible
from llmctl.formats.table import shortened

WIDTH = 960
PLOT_HEIGHT = 320
ROW_HEIGHT = 26
MARGIN = 20
LINE = 20
CHARACTER = 7
"""The width of a letter, near enough to keep words apart."""
MOST_ROWS = 60
LONGEST_NAME = 40
PALETTE = ("#2a78d6", "#e4672b", "#1f9e77", "#b0479b", "#c99a06", "#5c6bc0", "#8d6e63", "#78909c")
"""One colour a series, told apart also by most colour-blind people."""

Anchor = Literal["start", "middle", "end"]
PICTURES = ("svg", "html", "png")


@dataclass(frozen=True, slots=True)
class Bar:
    """A filled rectangle of a series' colour; series None is the grey of lines. In pixels."""

    x: float
    y: float
    width: float
    height: float
    series: int | None = None
    title: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text whose baseline is at `y`."""

    x: float
    y: float
    said: str
    anchor: Anchor = "start"
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn, in this order, on white."""

    title: str
    width: int
    height: int
    bars: tuple[Bar, ...]
    words: tuple[Words, ...]


def picture(chart: Chart, table: Table, kind: str) -> bytes:
    """The file's content: `svg`, `png`, or `html`, which has the table below the chart."""
    drawing = draw(chart)
    if kind == "png":
        from llmctl.formats.png import png

        return png(drawing)
    from llmctl.formats.svg import page, svg

    return (svg(drawing) if kind == "svg" else page(drawing, table)).encode("utf-8", "backslashreplace")


def draw(chart: Chart) -> Drawing:
    """Points in time stand upright, side by side; anything else lies in rows with its name in front."""
    if not chart.labels:
        nothing = Words(MARGIN, 3.0 * MARGIN, "nothing to draw")
        title = Words(MARGIN, MARGIN + 12, chart.title, bold=True)
        return Drawing(chart.title, WIDTH, round(4.0 * MARGIN), (), (title, nothing))
    bars, words, bottom = _upright(chart) if chart.timed else _lying(_shorter(chart))
    words.insert(0, Words(MARGIN, MARGIN + 12, chart.title, bold=True))
    several = chart.series if len(chart.series) > 1 else ()
    for number, series in enumerate(several):
        bottom += LINE
        bars.append(Bar(MARGIN, bottom - 11, 12, 12, number))
        words.append(Words(MARGIN + LINE, bottom, _name(series.name, 100)))
    if chart.note:
        bottom += LINE
        words.append(Words(MARGIN, bottom, chart.note))
    return Drawing(chart.title, WIDTH, round(bottom + MARGIN), tuple(bars), tuple(words))


def _name(said: str, most: int = LONGEST_NAME) -> str:
    return shortened(visible(said), most)


def _title(chart: Chart, place: int, series: Series) -> str:
    name = f", {visible(series.name)}" if series.name else ""
    return f"{visible(chart.labels[place])}{name}: {chart.show(series.values[place])}"


def _upright(chart: Chart) -> tuple[list[Bar], list[Words], float]:
    top, bottom = 3.0 * MARGIN, 3.0 * MARGIN + PLOT_HEIGHT
    ticks = scale(max(chart.sums, default=0))
    left = MARGIN + 10 + CHARACTER * max(len(chart.show(tick)) for tick in ticks)
    bars: list[Bar] = []
    words: list[Words] = []
    for tick in ticks:
        y = bottom - tick / ticks[-1] * PLOT_HEIGHT
        bars.append(Bar(left, y, WIDTH - MARGIN - left, 1))
        words.append(Words(left - 8, y + 4, chart.show(tick), "end"))
    step = (WIDTH - MARGIN - left) / len(chart.labels)
    for place in range(len(chart.labels)):
        foot = bottom
        for number, series in enumerate(chart.series):
            if height := series.values[place] / ticks[-1] * PLOT_HEIGHT:
                foot -= height
                wide = step * 0.8 if step > 4 else step
                x = left + step * place + (step - wide) / 2
                bars.append(Bar(x, foot, wide, height, number, _title(chart, place, series)))
    every = math.ceil((max(map(len, chart.labels)) + 2) * CHARACTER / step)
    for place in range(0, len(chart.labels), every):
        anchor: Anchor = "middle" if step * every > 60 and place else "start"
        x = left + step * (place + (0.5 if anchor == "middle" else 0))
        words.append(Words(x, bottom + 18, visible(chart.labels[place]), anchor))
    # The axis covers the feet of the bars.
    bars.append(Bar(left, bottom, WIDTH - MARGIN - left, 1))
    return bars, words, top + PLOT_HEIGHT + 30


def _lying(chart: Chart) -> tuple[list[Bar], list[Words], float]:
    names = [_name(label) for label in chart.labels]
    said = [chart.show(total) for total in chart.sums]
    left = MARGIN + 10 + CHARACTER * max(map(len, names), default=0)
    room = WIDTH - MARGIN - left - CHARACTER * (max(map(len, said), default=0) + 2)
    most = max(chart.sums, default=0) or 1
    bars: list[Bar] = []
    words: list[Words] = []
    y = 2.5 * MARGIN
    for place, name in enumerate(names):
        x = float(left)
        for number, series in enumerate(chart.series):
            if wide := series.values[place] / most * room:
                bars.append(Bar(x, y, wide, ROW_HEIGHT - 8, number, _title(chart, place, series)))
                x += wide
        words.append(Words(left - 8, y + 13, name, "end"))
        words.append(Words(x + 6, y + 13, said[place]))
        y += ROW_HEIGHT
    return bars, words, y


def _shorter(chart: Chart) -> Chart:
    """The labels with the most, and one for all others, where there are too many for a picture."""
    if len(chart.labels) <= MOST_ROWS:
        return chart
    order = sorted(range(len(chart.labels)), key=chart.sums.__getitem__, reverse=True)
    kept, rest = order[: MOST_ROWS - 1], order[MOST_ROWS - 1 :]
    labels = (*(chart.labels[place] for place in kept), f"{len(rest)} others")
    series = tuple(
        Series(one.name, (*(one.values[place] for place in kept), sum(one.values[place] for place in rest)))
        for one in chart.series
    )
    return Chart(chart.title, labels, series, chart.show, chart.timed, chart.note)


def scale(highest: float) -> list[float]:
    """Round numbers from 0 to at least the highest value, three to six of them."""
    if highest <= 0:
        return [0.0, 1.0]
    rough = highest / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough)
    return [step * number for number in range(math.ceil(highest / step - 1e-9) + 1)]
