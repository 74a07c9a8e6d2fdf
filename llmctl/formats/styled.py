"""Tables on a terminal, by rich. Cells are `Text`, so no markup in a name is ever obeyed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from llmctl.formats.report import Look, Row, Table, text

if TYPE_CHECKING:
    from rich.console import Console


def write(table: Table, stream: TextIO, look: Look) -> None:
    """As wide as the terminal at most: texts wrap to an ellipsis, numbers are kept whole."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(
        title=Text(table.title) if table.title else None,
        box=SIMPLE_HEAD,
        show_footer=table.footer is not None,
        header_style="bold",
        footer_style="bold",
        pad_edge=False,
        collapse_padding=True,
        caption=Text(table.note) if table.note else None,
        caption_justify="left",
    )
    footer: Row = table.footer or [""] * len(table.columns)
    for column, cell in zip(table.columns, footer, strict=True):
        right = column.align == "right"
        grid.add_column(
            Text(column.name),
            Text(text(cell)),
            justify=column.align,
            no_wrap=True,
            overflow="ellipsis",
            min_width=None if right else 8,
        )
    for row in table.rows:
        grid.add_row(*(Text(text(cell)) for cell in row))
    console(stream, look).print(grid)


def console(stream: TextIO, look: Look) -> Console:
    """A rich console that adds nothing of its own: no markup, no emoji names, no highlighting."""
    from rich.console import Console

    return Console(
        file=stream, force_terminal=True, width=look.width, markup=False, emoji=False, highlight=False
    )
