"""The one shape that every report of the command line is rendered from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TextIO

Scalar = str | int | float | None
Format = Literal["table", "csv", "markdown"]
FORMATS: tuple[Format, ...] = ("table", "csv", "markdown")


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell that people read otherwise than programs: `$1.23` and 1.23."""

    value: Scalar
    text: str


Cell = Scalar | Shown
Row = Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Column:
    """`name` heads the column; `key` is its name for programs, where that differs.

    With `extra` a column is left out where the terminal is too narrow, the highest number first.
    Texts are shortened there, unless the column is `whole`; numbers never are.
    """

    name: str
    align: Literal["left", "right"] = "left"
    key: str = ""
    extra: int = 0
    whole: bool = False

    @property
    def rigid(self) -> bool:
        """Whether nothing of its cells may be missing."""
        return self.whole or self.align == "right"

    @property
    def field(self) -> str:
        return self.key or self.name


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells, one for each column; `footer` is a last row set apart, `note` a line below."""

    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Row]
    footer: Row | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What a stream can show: `styled` is a terminal with colours, `width` in columns, None without end."""

    styled: bool = False
    width: int | None = None


PLAIN = Look()


def look(stream: TextIO, environ: Mapping[str, str]) -> Look:
    """By the stream and by NO_COLOR, FORCE_COLOR, TERM and CI: the first two win, in this order."""
    terminal = stream.isatty()
    width = _width() if terminal else None
    if environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return Look(width=width)
    if environ.get("FORCE_COLOR", "0") not in ("", "0", "false"):
        return Look(styled=True, width=_width())
    return Look(styled=terminal and environ.get("CI", "").lower() not in ("1", "true"), width=width)


def _width() -> int:
    from shutil import get_terminal_size

    return get_terminal_size().columns


def render(table: Table, format: Format, stream: TextIO, look: Look = PLAIN) -> None:
    """Writes the table. Names and texts from outside stay texts, whatever is in them."""
    if format == "csv":
        from llmctl.formats.csv import write
    elif format == "markdown":
        from llmctl.formats.markdown import write
    elif look.styled:
        from llmctl.formats.styled import write as write_styled

        write_styled(table, stream, look)
        return
    else:
        from llmctl.formats.table import write as write_plain

        write_plain(table, stream, look)
        return
    write(table, stream)


def text(cell: Cell) -> str:
    """A cell for people, on one line: what does not print is written out, as `\\n` and `\\u202e`."""
    said = cell.text if isinstance(cell, Shown) else cell
    return "" if said is None else visible(f"{said:,}" if isinstance(said, int) else str(said))


def value(cell: Cell) -> Scalar:
    """A cell for programs."""
    return cell.value if isinstance(cell, Shown) else cell


def visible(said: str) -> str:
    """The text with line breaks, control codes and invisible signs written out."""
    if said.isprintable():
        return said
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in said)
