"""Messages for people: figures above the text, nothing in a text is obeyed."""

from __future__ import annotations

import io

from llmctl.formats.messages import Turn, body, write
from llmctl.formats.report import Look

TURNS = [Turn("system", "Be brief.", 1234, 5_000), Turn("user", "a\x1b[2Jb\n[bold]c", 3, None)]


def test_plain_lines_for_pipes() -> None:
    """A pipe gets no control codes, whatever the prompt holds."""
    out = io.StringIO()
    write(TURNS, "2 messages", out)
    assert out.getvalue() == (
        "system  1,234 tokens  $0.000005\nBe brief.\n\nuser  3 tokens  ?\na\\x1b[2Jb\n[bold]c\n\n2 messages\n"
    )


def test_colours_on_a_terminal() -> None:
    """Roles are told apart at a glance; markup in a prompt stays text."""
    out = io.StringIO()
    write(TURNS, "2 messages", out, Look(styled=True, width=80))
    said = out.getvalue()
    assert "\x1b[1;35msystem" in said
    assert "[bold]c" in said
    assert "\x1b[2J" not in said


def test_parts_are_named() -> None:
    """An image is not printed as a page of base64."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}}
    link = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    assert body([{"type": "text", "text": "hi"}, image, link, {"type": "file"}]) == (
        "hi\n[image/png, 3,000 bytes]\n[image_url: https://example.com/a.png]\n[file]"
    )
