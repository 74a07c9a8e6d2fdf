"""llmctl.batch.strict: JSON that loses nothing and crashes nothing."""

from __future__ import annotations

import json
import pickle
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmctl.batch.strict import MAX_DEPTH, RowError, Wrong, as_written, kind, loads

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text() | st.just('a:b\\u003a":'),
    lambda child: st.lists(child, max_size=4) | st.dictionaries(st.text(max_size=3), child, max_size=4),
    max_leaves=20,
)


def utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_every_sound_value_is_read_as_json_reads_it(value: Any, ascii_only: bool, indent: int | None) -> None:
    """The colon count must never take a sound row for one with double keys."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert loads(text.encode()) == value


@given(VALUES, st.text(max_size=3), st.text(max_size=5), st.booleans(), st.sampled_from([":", " : "]))
def test_a_double_key_is_found_wherever_it_stands(
    value: Any, key: str, text: str, ascii_only: bool, colon: str
) -> None:
    """orjson keeps the last of two and says nothing: the first prompt would be lost silently."""
    one, two = json.dumps(key, ensure_ascii=ascii_only), json.dumps(key)
    other = json.dumps(value, ensure_ascii=ascii_only)
    double = f"{{{one}{colon}{json.dumps(text)}, {two}{colon}{other}}}"
    for data in (double, f"[{other}, {double}]", f'{{"a:": {other}, "z": [{double}]}}'):
        with pytest.raises(Wrong, match="twice"):
            loads(utf8(data))


def test_an_escaped_colon_does_not_hide_a_double_key() -> None:
    """The written-out value has a colon more there, which would make up for the dropped key's."""
    with pytest.raises(Wrong, match="'a' stands twice"):
        loads(b'{"a":1,"a":2,"p":"\\u003A"}')
    assert loads(b'{"p":"\\u003a","q":":"}') == {"p": ":", "q": ":"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": "\\ud83d", "b": 123456789012345678901234567890}', "beyond 64 bits"),
        (b'{"a": 1', "not valid JSON"),
        (b'{"a": "x\x00"}', "control character"),
        (b"{'a': 1}", "not valid JSON"),
        (b"", "not valid JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"9" * 5000, "beyond 64 bits|not valid JSON"),
    ],
)
def test_what_is_not_json_is_refused_with_a_reason(data: bytes, said: str) -> None:
    """A lenient reader would send something else than what the file says."""
    with pytest.raises(Wrong, match=said):
        loads(data)


def test_a_torn_row_is_said_to_be_cut_off() -> None:
    """The last line of a file that was still being written looks like this."""
    with pytest.raises(Wrong) as caught:
        loads(b'{"prompt": "hel')
    assert "cut off" in caught.value.hint


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 255, 500, 1100, 100_000])
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")])
def test_nesting_beyond_the_limit_is_refused_without_a_crash(levels: int, left: str, right: str) -> None:
    """Each parser has a recursion limit of its own; none of them may be what the user sees."""
    middle = "1" if right == "}" else ""
    with pytest.raises(Wrong, match="too deep"):
        loads((left * levels + middle + right * levels).encode())


def test_nesting_up_to_the_limit_is_read() -> None:
    """A limit that is lower than it says would refuse sound rows."""
    data = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert orjson.dumps(loads(data)) == data


def test_brackets_in_a_text_are_no_nesting() -> None:
    """Prompts hold code."""
    text = "[{" * 500
    assert loads(orjson.dumps({"prompt": text})) == {"prompt": text}


def test_lone_surrogates_are_written_out_and_pairs_are_not() -> None:
    """No encoder downstream takes half a pair; the row would crash where it is journaled."""
    value: Any = loads(b'{"\\udc00": ["x\\ud83d", "\\ud83d\\ude00"]}')
    assert value == {"\\udc00": ["x\\ud83d", "\U0001f600"]}
    assert orjson.dumps(value)


def test_separators_of_lines_and_nul_inside_a_text_are_kept() -> None:
    """They are part of the prompt, whatever str.splitlines makes of them."""
    assert loads('{"p": "a\\u0000b\u2028c\u0085d"}'.encode()) == {"p": "a\0b\u2028c\x85d"}


@given(st.binary(max_size=80))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    """One odd row must not end a batch of a million."""
    try:
        loads(data)
    except Wrong as wrong:
        assert wrong.problem


def test_numbers_can_be_had_as_written() -> None:
    """An id of 20 digits or with a trailing nought is another id once it was a float."""
    assert (
        as_written(b'{"id": 123456789012345678901234567890.50}', "id") == "123456789012345678901234567890.50"
    )


def test_a_row_error_is_a_configuration_error_with_its_line() -> None:
    """Scripts tell by the exit code, people by the line."""
    error = RowError(17, "no prompt", "give it one")
    assert (error.exit_code, error.type, error.line) == (3, "row", 17)
    assert str(error) == "line 17: no prompt"


def test_a_row_error_survives_the_way_between_processes() -> None:
    """An exception whose arguments differ from its message breaks the receiver, not the sender."""
    error = pickle.loads(pickle.dumps(RowError(17, "no prompt", "give it one")))
    assert (str(error), error.hint, error.line) == ("line 17: no prompt", "give it one", 17)


def test_kinds_have_names_for_people() -> None:
    """`dict` and `NoneType` are Python's words, not the user's."""
    values: list[Any] = [{}, [], "", True, None, 1, 1.5]
    names = ["a map", "a list", "a text", "true or false", "nothing", "a number", "a number"]
    assert list(map(kind, values)) == names
