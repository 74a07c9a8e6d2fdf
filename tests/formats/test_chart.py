"""Charts in the terminal."""

from __future__ import annotations

from io import StringIO

import pytest

from llmctl.formats.chart import HEIGHT, MOST_BARS, Chart, Series, write
from llmctl.formats.report import PLAIN, Look
from llmctl.formats.table import width
from llmctl.formats.usage_chart import chart

from .kit import HOSTILE, group, hostile, report_of


def drawn(found: Chart, look: Look = PLAIN) -> list[str]:
    stream = StringIO()
    write(found, stream, look)
    return stream.getvalue().splitlines()


def bars(found: Chart, look: Look) -> dict[str, int]:
    return {line.split()[0]: line.count("█") + line.count("▓") for line in drawn(found, look)[1:]}


def test_bars_are_as_long_as_their_values() -> None:
    """Twice the money, twice the bar; the longest fills the width."""
    found = Chart("t", ("a", "b", "c"), (Series("", (4.0, 2.0, 0.0)),), str)
    lengths = bars(found, Look(width=40))
    assert lengths["a"] == pytest.approx(2 * lengths["b"], abs=1)
    assert lengths["a"] > 25
    assert lengths["c"] == 0
    assert max(map(width, drawn(found, Look(width=40)))) <= 40


def test_what_stacks_is_told_apart_without_colours_too() -> None:
    """In a log there are no colours: each series has a sign of its own, and a legend."""
    found = Chart("t", ("a",), (Series("one", (1.0,)), Series("two", (1.0,))), str)
    lines = drawn(found, Look(width=44))
    assert lines[1].count("█") == pytest.approx(lines[1].count("▓"), abs=1)
    assert lines[2:] == ["██ one", "▓▓ two"]


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("count", [MOST_BARS + 1, 100, 1000])
def test_many_days_are_a_line_of_the_terminals_width(columns: int, count: int) -> None:
    """A year does not scroll by; its highest point reaches the top."""
    labels = tuple(f"2026-{number:06}" for number in range(count))
    values = tuple(float(number) for number in range(count))
    lines = drawn(Chart("t", labels, (Series("", values),), "{:.0f}".format, timed=True), Look(width=columns))
    assert max(map(width, lines)) <= columns
    assert lines[1][-1] in "▇█" or lines[1].endswith(("▅", "▆"))
    assert HEIGHT + 2 <= len(lines) <= HEIGHT + 3
    assert labels[0] in lines[HEIGHT + 1]
    assert labels[-1] in lines[HEIGHT + 1]


def test_nothing_is_said_to_be_nothing() -> None:
    """A division by the highest value must not be by zero."""
    assert drawn(Chart("t", (), (), str)) == ["t", "nothing to draw"]
    assert "nothing to draw" in drawn(Chart("t", ("a",), (Series("", (0.0,)),), str))
    assert "nothing to draw" in drawn(chart(report_of()))


@pytest.mark.parametrize("look", [PLAIN, Look(styled=True, width=80)])
def test_hostile_names_are_labels(look: Look) -> None:
    """Drawn names obey the same rule as listed ones."""
    import re

    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in drawn(chart(hostile()), look)]
    assert len(lines) == len(HOSTILE) + 1
    assert all(line.isprintable() for line in lines)
    assert look.styled or not any("\x1b" in line for line in drawn(chart(hostile()), look))


def test_days_without_calls_are_part_of_the_axis() -> None:
    """A gap that is not drawn makes a week of silence look like steady use."""
    found = report_of(
        group({"day": "2026-10-24", "model": "a"}),
        group({"day": "2026-10-27", "model": "b"}),
        by=("day", "model"),
        tz="Europe/Madrid",
    )
    drawn_chart = chart(found)
    assert drawn_chart.labels == ("2026-10-24", "2026-10-25", "2026-10-26", "2026-10-27")
    assert {series.name: series.values for series in drawn_chart.series} == {
        "a": (0.001, 0, 0, 0),
        "b": (0, 0, 0, 0.001),
    }
    for unit, labels in (
        ("month", ["2026-11", "2027-02"]),
        ("hour", ["2026-10-25T02:00+02:00", "2026-10-25T04:00+01:00"]),
    ):
        filled = chart(report_of(*(group({unit: label}) for label in labels), by=(unit,), tz="Europe/Madrid"))
        assert len(filled.labels) == 4
        assert set(labels) <= set(filled.labels)


def test_more_series_than_signs_become_one() -> None:
    """The largest keep their names; nothing is left out of the sum."""
    found = chart(
        report_of(
            *(group({"day": "2026-11-22", "model": f"m{n}"}, cost=10**9 * (n + 1)) for n in range(20)),
            by=("day", "model"),
        )
    )
    assert [series.name for series in found.series] == [f"m{n}" for n in range(19, 12, -1)] + ["other (13)"]
    assert found.sums == [210.0]


def test_without_a_price_calls_are_drawn() -> None:
    """A local model costs nothing and is used all the same."""
    found = chart(report_of(group({"model": "local/x"}, 5, 0), group({"model": "local/y"}, 3, 0)))
    assert found.title == "calls by model"
    assert found.sums == [5, 3]
