"""Drawings as SVG, and as an HTML page with the table below. No script, no address, no markup from names."""

from __future__ import annotations

from html import escape

from llmctl.formats.picture import PALETTE, Bar, Drawing, Words
from llmctl.formats.report import Table, text

STYLE = """
body { font-family: system-ui, sans-serif; margin: 2rem; color: #222; }
svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem; text-align: left; unicode-bidi: isolate; }
.right { text-align: right; }
thead, tfoot { font-weight: bold; }
tbody tr:nth-child(odd) { background: #f4f6f8; }
"""


def svg(drawing: Drawing) -> str:
    """A whole SVG file."""
    size = f'width="{drawing.width}" height="{drawing.height}" viewBox="0 0 {drawing.width} {drawing.height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(drawing.title)}"'
        ' font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{drawing.width}" height="{drawing.height}" fill="#fff"/>',
        *map(_bar, drawing.bars),
        *map(_words, drawing.words),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _bar(bar: Bar) -> str:
    place = f'x="{bar.x:.1f}" y="{bar.y:.1f}" width="{bar.width:.2f}" height="{bar.height:.2f}"'
    colour = "#d5d9dd" if bar.series is None else PALETTE[bar.series % len(PALETTE)]
    title = f"<title>{escape(bar.title)}</title>" if bar.title else ""
    return f'<rect {place} fill="{colour}">{title}</rect>'


def _words(words: Words) -> str:
    anchor = "" if words.anchor == "start" else f' text-anchor="{words.anchor}"'
    weight = ' font-weight="bold"' if words.bold else ""
    return f'<text x="{words.x:.1f}" y="{words.y:.1f}"{anchor}{weight}>{escape(words.said)}</text>'


def page(drawing: Drawing, table: Table) -> str:
    """A whole HTML file that needs nothing from anywhere."""
    sides = [' class="right"' if column.align == "right" else "" for column in table.columns]

    def row(cells: list[str], kind: str) -> str:
        return (
            "<tr>"
            + "".join(
                f"<{kind}{side}>{escape(cell)}</{kind}>" for cell, side in zip(cells, sides, strict=True)
            )
            + "</tr>"
        )

    body = "\n".join(row([text(cell) for cell in cells], "td") for cells in table.rows)
    foot = f"<tfoot>{row([text(cell) for cell in table.footer], 'td')}</tfoot>" if table.footer else ""
    title = escape(drawing.title)
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>
<body>
{svg(drawing)}
<table>
<thead>{row([column.name for column in table.columns], "th")}</thead>
<tbody>
{body}
</tbody>
{foot}
</table>
</body>
</html>
"""
