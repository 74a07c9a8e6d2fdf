"""What a stream can show, and what a cell becomes on it."""

from __future__ import annotations

from io import StringIO

import pytest

from llmctl.formats.report import Look, Shown, look, text, value, visible

from .kit import HOSTILE


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "terminal", "pipe"),
    [
        ({}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
        ({"CI": "true"}, False, False),
        ({"CI": "true", "FORCE_COLOR": "1"}, True, True),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    environ: dict[str, str], terminal: bool, pipe: bool
) -> None:
    """A log full of control codes is unreadable; so is a terminal that was told to use none."""
    assert look(Terminal(), environ).styled is terminal
    assert look(StringIO(), environ).styled is pipe


def test_a_pipe_has_no_end_on_the_right() -> None:
    """What is cut for a terminal would be missing in a file."""
    assert look(StringIO(), {}) == Look(styled=False, width=None)
    assert look(Terminal(), {"NO_COLOR": "1"}).width is not None


@pytest.mark.parametrize("name", HOSTILE)
def test_what_does_not_print_is_written_out(name: str) -> None:
    """No name moves the cursor, ends the line or turns the text around."""
    assert visible(name).isprintable()
    if name.isprintable():
        assert visible(name) == name


def test_visible_says_what_was_there() -> None:
    """Two names that differ in an invisible sign look different."""
    assert visible("a\nb\u202e\x1b") == "a\\nb\\u202e\\x1b"


def test_people_and_programs_read_different_cells() -> None:
    """`$1.23` for the eye, 1.23 for the spreadsheet."""
    assert (text(Shown(1.23, "$1.23")), value(Shown(1.23, "$1.23"))) == ("$1.23", 1.23)
    assert (text(12345), value(12345)) == ("12,345", 12345)
    assert (text(None), value(None)) == ("", None)
