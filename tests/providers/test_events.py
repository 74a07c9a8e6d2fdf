"""The parser of server-sent events: however the network cuts a stream, the events are the same."""

from __future__ import annotations

import time
from codecs import BOM_UTF8
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from llmctl.providers.events import Parser

DATA = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20), min_size=1, max_size=3
)
NOISE = st.sampled_from(["", ": a comment", "event: message", "id: 7", "retry: 10", "data-not: x"])
EVENTS = st.lists(st.tuples(NOISE, DATA), max_size=6)


def written(events: list[tuple[str, list[str]]], end: str) -> bytes:
    """The events as a server writes them, their lines ended by `end`."""
    lines = []
    for noise, data in events:
        lines += [noise] if noise else []
        lines += [*(f"data: {line}" for line in data), ""]
    return "".join(line + end for line in lines).encode()


@settings(deadline=None)
@given(
    EVENTS,
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 400)),
    st.sampled_from(["", "data: x"]),
    st.sampled_from([b"", BOM_UTF8]),
)
def test_any_cutting_gives_the_same_events(
    events: list[tuple[str, list[str]]], end: str, cuts: list[int], rest: str, mark: bytes
) -> None:
    """A packet may end anywhere, also inside CRLF or a byte-order mark; what is not finished is no event."""
    stream = mark + written(events, end) + rest.encode()
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    parser = Parser()
    found = [data for start, stop in pairwise(edges) for data in parser.feed(stream[start:stop])]
    assert found == ["\n".join(data).encode() for _, data in events]


def test_a_mark_is_dropped_once_and_only_in_front() -> None:
    """The first event of a stream with a byte-order mark is a part of its text like all others."""
    marked = BOM_UTF8 + b"data: x\n\n"
    assert Parser().feed(marked + marked + b"\n") == [b"x"]


def test_a_missing_space_and_an_empty_event() -> None:
    """The space after the colon is optional, and only one of them is no part of the data."""
    assert Parser().feed(b"data:[DONE]\n\ndata:  x\n\n\n\ndata:\n\n") == [b"[DONE]", b" x", b""]


def test_a_long_line_in_small_pieces_takes_linear_time() -> None:
    """8 MB in one event, a few bytes at a time, must not be copied again for each of them."""
    parser = Parser()
    began = time.process_time()
    for _ in range(200_000):
        parser.feed(b"x" * 40)
    assert parser.feed(b"\n\n") == []
    assert time.process_time() - began < 5
