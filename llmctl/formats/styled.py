"""Tables on a terminal, by rich. Cells are `Text`: no markup in a name is ever obeyed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from llmctl.formats.report import Look, Table
from llmctl.formats.table import GAP, lay

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as Grid

EDGE = 1


def write(table: Table, stream: TextIO, look: Look) -> None:
    """The plain table's layout with bold heads and a rule; no wider than the terminal."""
    console(stream, look).print(grid(table, look), crop=False)


def grid(table: Table, look: Look) -> Grid:
    """The same for who draws it among other things."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as Grid
    from rich.text import Text

    laid = lay(table, None if look.width is None else look.width - 2 * EDGE)
    drawn = Grid(
        title=Text(table.title) if table.title else None,
        caption=Text(table.note, style="dim") if table.note else None,
        caption_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, len(GAP) - 1, 0, 0),
        show_footer=laid.footer is not None,
        header_style="bold",
        footer_style="bold",
    )
    footer = laid.footer or ("",) * len(laid.columns)
    for head, foot, size, column in zip(laid.heads, footer, laid.sizes, laid.columns, strict=True):
        drawn.add_column(Text(head), Text(foot), width=size, justify=column.align, no_wrap=True)
    for row in laid.rows:
        drawn.add_row(*map(Text, row))
    return drawn


def console(stream: TextIO, look: Look, *, colours: bool = True) -> Console:
    """A rich console that adds nothing of its own: no markup, no emoji names, no highlighting."""
    from rich.console import Console

    return Console(
        file=stream,
        force_terminal=True,
        no_color=not colours,
        width=look.width,
        markup=False,
        emoji=False,
        highlight=False,
    )
