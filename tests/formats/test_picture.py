"""Pictures: SVG, HTML and PNG that any program opens and no name can enter."""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ET
import zlib
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from llmctl.formats.chart import Chart, Series
from llmctl.formats.font import DRAWN, HIGH, letter
from llmctl.formats.picture import MOST_ROWS, draw, picture, scale
from llmctl.formats.png import BLACK, SCALE
from llmctl.formats.report import Table, visible
from llmctl.formats.usage import table
from llmctl.formats.usage_chart import chart

from .kit import HOSTILE, group, hostile, report_of

EMPTY = Table("", (), ())
DAYS = tuple(f"2026-11-{day:02}" for day in range(1, 31))
TIMED = Chart(
    "cost by day",
    DAYS,
    (Series("a", tuple(map(float, range(30)))), Series("b", (1.0,) * 30)),
    "${:.2f}".format,
    timed=True,
)


class Page(HTMLParser):
    """The tags and the texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_svg_is_xml_with_the_names_as_texts() -> None:
    """A picture that is mailed around must be a picture, whatever the models are called."""
    said = picture(chart(hostile()), EMPTY, "svg").decode()
    root = ET.fromstring(said)
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags == {"svg", "rect", "text", "title"}
    texts = {element.text for element in root.iter() if element.tag.endswith("text")}
    assert {"[/x]", "<script>alert(1)</script>", "\\u202eevil\\u202c"} <= texts
    assert not re.search(r"href|<script|\bon\w+=", said)


@pytest.mark.parametrize("kind", ["svg", "png", "html"])
@pytest.mark.parametrize("timed", [True, False])
def test_nothing_is_drawn_as_nothing(kind: str, timed: bool) -> None:
    """A report from cron on the first morning, before anything was asked."""
    empty = Chart("calls by day", (), (Series("", ()),), timed=timed)
    assert [words.said for words in draw(empty).words] == ["calls by day", "nothing to draw"]
    assert picture(empty, table(report_of()), kind)


def test_html_has_chart_and_table_and_nothing_else() -> None:
    """One file, no script, nothing fetched; a name is shown as it is called."""
    found = hostile()
    said = picture(chart(found), table(found), "html").decode()
    page = Page(said)
    assert page.tags <= {
        *("html", "head", "meta", "title", "style", "body", "svg", "rect", "text"),
        *("table", "thead", "tbody", "tfoot", "tr", "th", "td"),
    }
    assert {visible(name) for name in HOSTILE} <= set(page.texts)
    assert "src=" not in said
    assert "url(" not in said


def pixels(data: bytes) -> tuple[int, int, list[bytes]]:
    """Width, height and rows of a PNG of ours, its checksums checked."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place, parts = 8, {}
    while place < len(data):
        (size,) = struct.unpack_from(">I", data, place)
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        assert struct.unpack_from(">I", data, place + 8 + size) == (zlib.crc32(kind + body),)
        parts[kind] = body
        place += 12 + size
    assert list(parts) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height, depth, colours = struct.unpack_from(">IIBB", parts[b"IHDR"])
    assert (depth, colours) == (8, 3)
    raw = zlib.decompress(parts[b"IDAT"])
    assert len(raw) == height * (width + 1)
    rows = [raw[at + 1 : at + 1 + width] for at in range(0, len(raw), width + 1)]
    assert max(map(max, rows)) < len(parts[b"PLTE"]) // 3
    return width, height, rows


@pytest.mark.parametrize(
    "found", [TIMED, chart(hostile()), chart(report_of())], ids=["days", "hostile", "empty"]
)
def test_png_is_whole(found: Chart) -> None:
    """Written by hand, so every length and checksum is looked at."""
    drawing = draw(found)
    width, height, rows = pixels(picture(found, EMPTY, "png"))
    assert (width, height) == (drawing.width * SCALE, drawing.height * SCALE)
    assert any(BLACK in row for row in rows)


def test_bars_in_the_png_are_as_high_as_their_values() -> None:
    """The last day of the month holds 30 of 30, the first 1: the pixels must say so."""
    *_, rows = pixels(picture(TIMED, EMPTY, "png"))
    drawing = draw(TIMED)
    last = max((bar for bar in drawing.bars if bar.series is not None and bar.title), key=lambda bar: bar.x)
    column = round((last.x + last.width / 2) * SCALE)
    inside = sum(row[column] in (3, 4) for row in rows)
    assert inside / SCALE == pytest.approx(30 / scale(30)[-1] * 320, abs=2)


def test_letters_are_seven_rows_of_five() -> None:
    """One digit too many and every letter after it is another."""
    assert len(DRAWN.split()) == 95
    assert all(len(one) == HIGH for one in DRAWN.split())
    assert letter("H") == (17, 17, 17, 31, 17, 17, 17)
    assert letter("L") == (16,) * 6 + (31,)
    assert letter(" ") == (0,) * HIGH
    assert letter("\x07") == ()


@pytest.mark.parametrize("count", [1, 2, 12, 30, 400, 2000])
@pytest.mark.parametrize("timed", [True, False])
def test_everything_stands_inside_and_labels_stand_apart(count: int, timed: bool) -> None:
    """Two thousand hours or one model: nothing runs over the edge or into its neighbour."""
    labels = tuple(f"label-{number}" for number in range(count))
    found = Chart("t", labels, (Series("", tuple(map(float, range(1, count + 1)))),), str, timed=timed)
    drawing = draw(found)
    for bar in drawing.bars:
        assert bar.x >= 0
        assert bar.x + bar.width <= drawing.width + 0.01
        assert bar.y + bar.height <= drawing.height
    for words in drawing.words:
        assert 0 <= words.x <= drawing.width
        assert 0 < words.y <= drawing.height
    if not timed:
        assert len([bar for bar in drawing.bars if bar.series is not None]) <= MOST_ROWS
    below = sorted(words.x for words in drawing.words if words.said.startswith("label") and timed)
    assert all(right - left >= 50 for left, right in pairwise(below))


@pytest.mark.parametrize("highest", [0, 1e-9, 0.00045, 0.9, 1, 3, 7, 99, 101, 12345, 9e9])
def test_scales_are_round_and_reach_the_top(highest: float) -> None:
    """A bar above its axis is no bar."""
    found = scale(highest)
    assert found[0] == 0
    assert found[-1] >= highest * 0.999999
    assert 2 <= len(found) <= 6
    step = found[1]
    assert f"{step:.0e}"[0] in "125"


def test_many_models_become_few_and_others() -> None:
    """Sixty rows are a picture, six hundred are a wall; the sum stays."""
    found = chart(report_of(*(group({"model": f"m{n}"}, cost=10**9) for n in range(600))))
    drawing = draw(found)
    assert f"{600 - MOST_ROWS + 1} others" in [words.said for words in drawing.words]
