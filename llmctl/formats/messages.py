"""Chat messages as people read them: role, size and price above each text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from llmctl.core.money import Nanos, show_usd
from llmctl.formats.report import PLAIN, Look, visible

COLOURS = {"system": "magenta", "user": "cyan", "assistant": "green", "tool": "yellow"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One message with its tokens and what they cost as input (None: unknown)."""

    role: str
    content: Any
    tokens: int
    cost: Nanos | None


def write(turns: Sequence[Turn], note: str, stream: TextIO, look: Look = PLAIN) -> None:
    """Every message, then the note. Control codes in texts are written out, never obeyed."""
    if look.styled:
        _write_styled(turns, note, stream, look)
        return
    for turn in turns:
        stream.write(f"{visible(turn.role)}  {_figures(turn)}\n{body(turn.content)}\n\n")
    stream.write(note + "\n")


def _write_styled(turns: Sequence[Turn], note: str, stream: TextIO, look: Look) -> None:
    from rich.text import Text

    from llmctl.formats.styled import console

    out = console(stream, look)
    for turn in turns:
        colour = COLOURS.get(turn.role, "blue")
        out.print(Text.assemble((visible(turn.role), f"bold {colour}"), ("  " + _figures(turn), "dim")))
        out.print(Text(body(turn.content), colour))
        out.print()
    out.print(Text(note, "dim"))


def _figures(turn: Turn) -> str:
    return f"{turn.tokens:,} tokens  {show_usd(turn.cost)}"


def body(content: Any) -> str:
    """A message's content as text; a part that is none is named by its kind and size."""
    if isinstance(content, str):
        return "\n".join(map(visible, content.split("\n")))
    if isinstance(content, list | tuple):
        return "\n".join(map(_part, content))
    return visible(str(content or ""))


def _part(part: Any) -> str:
    if not isinstance(part, Mapping):
        return visible(str(part))
    if isinstance(part.get("text"), str):
        return body(part["text"])
    image = part.get("image_url")
    url = str(image.get("url", "")) if isinstance(image, Mapping) else str(image or "")
    if url.startswith("data:"):
        media, _, data = url.partition(",")
        return f"[{visible(media[5:].partition(';')[0])}, {len(data) * 3 // 4:,} bytes]"
    return visible(f"[{part.get('type')}: {url}]" if url else f"[{part.get('type')}]")
