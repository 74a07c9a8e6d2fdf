"""llmctl.batch.lines: any bytes in any chunking give the same lines."""

from __future__ import annotations

import codecs
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmctl.batch.lines import Line, LongLine, RawRow, line_rows, split, utf8
from llmctl.core.errors import ConfigError

PIECES = st.lists(
    st.binary(max_size=12) | st.sampled_from([b"\n", b"\r\n", b"\xef\xbb\xbf", b"\xe2\x80\xa8"])
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(at)]


def lines(chunks: list[bytes], limit: int = 2**24) -> list[Line]:
    return [line for some in split(chunks, limit) for line in some]


@given(PIECES, st.lists(st.integers(0, 500)))
def test_the_lines_do_not_depend_on_the_chunks(pieces: list[bytes], places: list[int]) -> None:
    """A row that falls on a chunk's border must come out like any other."""
    data = b"".join(pieces)
    whole = data.split(b"\n")
    whole[0] = whole[0].removeprefix(codecs.BOM_UTF8)
    expected = whole[:-1] if data.endswith(b"\n") or not data else whole
    assert lines(cut(data, places)) == expected


@given(st.lists(st.integers(0, 60), min_size=1), st.integers(1, 9))
def test_a_line_over_the_limit_is_measured_not_held(lengths: list[int], step: int) -> None:
    """The limit is what keeps a 50 MB line from being 50 MB of memory."""
    data = b"".join(b'"' * length + b"\n" for length in lengths)
    chunks = [data[start : start + step] for start in range(0, len(data), step)]
    for found, length in zip(lines(chunks, 20), lengths, strict=True):
        assert found == (b'"' * length if length <= 20 else LongLine(length, length))


@given(st.text(), st.lists(st.integers(0, 500)))
def test_utf8_passes_in_any_chunking(text: str, places: list[int]) -> None:
    """A character cut in two by a chunk's border is not a fault."""
    data = text.encode()
    assert b"".join(utf8(cut(data, places), "f")) == data


@given(st.binary(), st.lists(st.integers(0, 500)))
def test_what_is_not_utf8_is_named_with_its_line(data: bytes, places: list[int]) -> None:
    """Of a million lines the user must find the one; the chunk it fell into is no help."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        with pytest.raises(ConfigError, match=rf"\Af:{line}: not UTF-8"):
            list(utf8(cut(data, places), "f"))
    else:
        assert b"".join(utf8(cut(data, places), "f")) == data


def test_a_character_cut_off_at_the_end_is_found() -> None:
    """A torn file may end in the middle of a character."""
    with pytest.raises(ConfigError, match="f:2: not UTF-8"):
        list(utf8([b"a\nb\xe2", b"\x82"], "f"))


def test_rows_count_without_blank_lines_and_lines_with_them() -> None:
    """`row` is what the output says, the line is what an editor shows."""
    rows = list(line_rows(split([b"\n \r\na\r\n\n\tb\n\r\nc\r"]), text=False))
    assert [(row.number, row.line, row.data) for row in rows] == [(0, 3, b"a"), (1, 5, b"\tb"), (2, 7, b"c")]


def test_a_long_line_is_a_row_of_its_own() -> None:
    """It is refused by itself; the rows after it keep their numbers."""
    rows = list(line_rows(split([b"x" * 8, b"y" * 8, b"\nz\n"], 10), text=True))
    assert rows == [RawRow(0, 1, b"", 16, True), RawRow(1, 2, b"z", 0, True)]


def test_a_text_row_becomes_a_row_that_can_be_run_again() -> None:
    """Failed rows are written as JSONL, whatever they came in as."""
    assert RawRow(0, 1, "é: ?".encode(), text=True).json() == '{"prompt":"é: ?"}'.encode()
    assert RawRow(0, 1, b'{"prompt": "a"}').json() == b'{"prompt": "a"}'
