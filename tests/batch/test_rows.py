"""llmctl.batch.rows: every kind of row, and every way to get one wrong."""

from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmctl.batch.lines import MAX_LINE, RawRow
from llmctl.batch.rows import Row, may_have_id, openai_kind, parse
from llmctl.batch.strict import RowError
from llmctl.core.canonical import canonical

KEY = "sk-" + "x" * 20
HELLO = [{"role": "user", "content": "hello"}]


def row(value: Any, template: bool = False) -> Row:
    data = value if isinstance(value, bytes) else orjson.dumps(value)
    return parse(RawRow(4, 7, data), template)


def fault(value: Any, template: bool = False) -> RowError:
    error = row(value, template).error
    assert error is not None, "the row was taken"
    return error


def test_a_prompt_is_the_least_a_row_needs() -> None:
    """Without an id of its own the row has its number."""
    assert row({"prompt": "hi"}) == Row(4, 7, "4", prompt="hi")


def test_all_fields_of_a_row() -> None:
    """What CLI users may set for a single row."""
    fields = {"id": "a", "prompt": " hi ", "system": "s", "model": "m", "params": {"seed": 1}, "tag": "t"}
    expected = Row(4, 7, "a", True, " hi ", None, "s", "m", {"seed": 1}, "t")
    assert row(fields) == expected


def test_nulls_and_empty_texts_are_fields_left_out() -> None:
    """An empty cell of a table is the same as no cell."""
    for empty in (None, ""):
        fields = dict.fromkeys(["id", "system", "model", "params", "tag", "messages"], empty)
        assert row({"prompt": "hi", **fields}) == Row(4, 7, "4", prompt="hi")
        assert row({"messages": HELLO, "prompt": empty}).messages == tuple(HELLO)


def test_messages_are_taken_as_they_are() -> None:
    """Tools, images and names are the provider's to understand."""
    messages = [
        {"role": "system", "content": ""},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}], "name": "x"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "content": "4", "tool_call_id": "1"},
    ]
    assert row({"messages": messages}).messages == tuple(messages)


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "must not be empty"),
        ({}, "must be a list, not a map"),
        (["hi"], r"messages\[0\]: must be a map, not a text"),
        ([*HELLO, {"content": "x"}], r"messages\[1\]: no 'role'"),
        ([{"role": ["user"], "content": "x"}], "no 'role'"),
        ([{"role": "usr", "content": "x"}], "unknown role 'usr'"),
        ([{"role": "user"}], "no 'content'"),
        ([{"role": "assistant", "content": None}], "no 'content'"),
        ([{"role": "user", "content": 3}], "must be a text or a list of parts"),
        ([{"role": "user", "content": ["x"]}], "has no 'type'"),
        ([{"role": "user", "content": [{"type": "text", "text": 1}]}], "has no 'text'"),
        ([{"role": "user", "content": [{"type": "text", "text": " "}]}], "messages are empty"),
        ([{"role": "user", "content": "\n"}], "messages are empty"),
        ([{"role": "user", "content": []}], "messages are empty"),
    ],
)
def test_malformed_messages_fail_their_row(messages: Any, said: str) -> None:
    """The provider would refuse them too, but only after a round trip."""
    assert row({"messages": messages}).error is not None
    with pytest.raises(RowError, match=said):
        raise fault({"messages": messages})


BATCH = {
    "custom_id": "request-1",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "gpt-4o-mini", "messages": HELLO, "max_completion_tokens": 1000},
}


def test_a_row_of_openais_batch_api_runs_unchanged() -> None:
    """Such files exist by the thousand, vllm's run-batch reads the same."""
    expected = Row(
        4, 7, "request-1", True, None, tuple(HELLO), model="gpt-4o-mini",
        params={"max_completion_tokens": 1000}, openai=True,
    )  # fmt: skip
    assert row(BATCH) == expected


def test_the_bodys_other_fields_are_parameters() -> None:
    """A schema is one of them; streaming is not, the answer comes whole."""
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    body = {"messages": HELLO, "response_format": schema, "stream": True, "stream_options": {}, "n": None}
    found = row({"body": body, "url": "/chat/completions", "method": "post", "tag": "t"})
    assert (found.error, found.model, found.id, found.own_id, found.tag) == (None, None, "4", False, "t")
    assert found.params == {"response_format": schema, "n": None}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "/v1/embeddings"}, "path of chat completions"),
        ({"url": "https://elsewhere.example/v1/chat/completions"}, "path of chat completions"),
        ({"url": 3}, "path of chat completions"),
        ({"method": "GET"}, "must be POST"),
        ({"method": None}, "must be POST"),
        ({"body": None}, "'body' must be a map, not nothing"),
        ({"body": {}}, "has no 'messages'"),
        ({"body": {"messages": []}}, "must not be empty"),
        ({"body": {"messages": HELLO, "model": 4}}, "'model' must be a text"),
        ({"body": {"messages": HELLO, "stream": "yes"}}, "'stream' must be true or false"),
        ({"body": {"messages": HELLO, "api_key": "x"}}, "'api_key' is no parameter"),
        ({"body": {"messages": HELLO, "user": KEY}}, "in the open"),
        ({"prompt": "hi"}, "unknown field 'prompt'"),
        ({"custom_id": ["x"]}, "'custom_id' must be a text or a number"),
    ],
)
def test_wrong_openai_rows_fail(change: dict[str, Any], said: str) -> None:
    """Among them a row that names another server: the key must not go there."""
    error = fault({**BATCH, **change})
    assert said in str(error)


def test_with_a_template_every_field_is_a_variable() -> None:
    """The fields with a meaning of their own keep it."""
    fields = {
        "id": 5,
        "city": "Rome",
        "model": "m",
        "system": "s",
        "params": {"seed": 1},
        "tag": "t",
        "n": [1],
    }
    expected = Row(
        4, 7, "5", True, None, None, "s", "m", {"seed": 1}, "t", variables=fields,
    )  # fmt: skip
    assert row(fields, template=True) == expected
    assert row({"prompt": "p", "messages": 3, "body": {}}, template=True).prompt == "p"
    assert row({"custom_id": "c"}, template=True).id == "c"
    assert row({}, template=True).variables == {}


def test_a_number_that_json_readers_round_is_no_variable() -> None:
    """The prompt would speak of another account than the file."""
    assert "beyond 64 bits" in str(fault(b'{"account": 123456789012345678901}', template=True))
    assert row(b'{"big": 1e30}', template=True).variables == {"big": 1e30}


def test_text_lines_are_prompts() -> None:
    """With a template the line is its variable `prompt`."""
    raw = RawRow(0, 1, ' {"x": 1}\0\u2028 '.encode(), text=True)
    assert parse(raw) == Row(0, 1, "0", prompt=' {"x": 1}\0\u2028 ')
    assert parse(raw, True).variables == {"prompt": ' {"x": 1}\0\u2028 '}
    assert "empty" in str(parse(RawRow(0, 1, "\u3000".encode(), text=True)).error)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"5", "5"),
        (b"-5", "-5"),
        (b"1.50", "1.50"),
        (b"123456789012345678901234567890", "123456789012345678901234567890"),
    ],
)
def test_an_id_that_is_a_number_is_taken_as_written(data: bytes, name: str) -> None:
    """Two long numbers may be the same float; they are not the same id."""
    found = row(b'{"id": %s, "prompt": "x"}' % data)
    assert (found.id, found.own_id, found.error) == (name, True, None)


@pytest.mark.parametrize(
    ("value", "said", "hint"),
    [
        ({"id": True, "prompt": "x"}, "'id' must be a text or a number, not true or false", "quotes"),
        ({"id": ["a"], "prompt": "x"}, "'id' must be a text or a number, not a list", "quotes"),
        ({"promt": "x"}, "unknown field 'promt'", "did you mean 'prompt'?"),
        ({"prompt": "x", "topic": "y"}, "unknown field 'topic'", "-t TEMPLATE"),
        ({"prompt": "x", KEY: 1}, "in the open", ""),
        ({"prompt": "x", "api_key": KEY}, "'api_key' has no place in a row", "profile"),
        ({}, "no prompt", "'prompt' or 'messages'"),
        ({"prompt": None}, "no prompt", "'prompt' or 'messages'"),
        ({"prompt": " \n"}, "the prompt is empty", ""),
        ({"prompt": 3}, "'prompt' must be a text, not a number", "quotes"),
        ({"prompt": "x", "messages": HELLO}, "both 'prompt' and 'messages'", "keep one"),
        ({"prompt": "x", "system": {}}, "'system' must be a text, not a map", "leave it out"),
        ({"prompt": "x", "model": 4}, "'model' must be a text", ""),
        ({"prompt": "x", "tag": 4}, "'tag' must be a text", ""),
        ({"prompt": "x", "params": "hot"}, "'params' must be a map, not a text", "temperature"),
        ({"prompt": "x", "params": {"api_base": "http://x"}}, "'api_base' is no parameter", "the profile"),
        ({"prompt": "x", "params": {"model": "m"}}, "'model' is no parameter", "the row itself"),
        ({"prompt": "x", "params": {"user": KEY}}, "in the open", ""),
        ({"prompt": "x", "params": {"metadata": {"a": [KEY]}}}, "in the open", ""),
        (b'{"prompt": "x", "params": {"seed": 99999999999999999999}}', "beyond 64 bits", ""),
        ([1], "a row is a JSON object, not a list", "one object a line"),
        (b"hello", "not valid JSON", "one JSON object a line"),
        (b'{"prompt": "a", "prompt": "b"}', "the key 'prompt' stands twice", "keep one"),
        (b'{"prompt": NaN}', "NaN is not JSON", ""),
        (b'{"prompt": ' + b"[" * 100_000, "nested too deeply", ""),
        (b'{"prompt": ' + b"[" * 300 + b"]" * 300 + b"}", "nested too deeply", "200"),
        (b'{"prompt": "torn', "not valid JSON", "cut off"),
    ],
)
def test_a_bad_row_says_what_is_wrong_where_and_what_to_do(value: Any, said: str, hint: str) -> None:
    """One clear line; and never the key that should not be there."""
    error = fault(value)
    assert str(error).startswith(f"line 7: {said}") or said in str(error)
    assert (error.exit_code, error.line, error.type) == (3, 7, "row")
    assert hint in error.hint
    assert KEY not in str(error) + error.hint


def test_a_variable_for_keys_must_not_hold_one() -> None:
    """A prompt may speak of keys, a field called api_key may not carry one."""
    assert "in the open" in str(fault({"Headers": {"Authorization": f"Bearer {KEY}"}}, template=True))
    assert row({"text": f"is {KEY} a key?"}, template=True).error is None
    assert row({"prompt": f"is {KEY} a key?"}).error is None


def test_a_bad_row_keeps_its_id_where_that_can_be_read() -> None:
    """The output's line is found by it."""
    assert row({"id": "mine", "promt": "x"}).id == "mine"
    assert row({"id": 9, "promt": "x"}).id == "9"
    assert row({"id": [1], "prompt": "x"}).id == "4"
    assert row({**BATCH, "method": "GET"}).id == "request-1"


def test_rows_that_could_not_be_read_are_errors_too() -> None:
    """What the file's reader found wrong comes through."""
    long = parse(RawRow(0, 1, b"", MAX_LINE + 1))
    assert long.error is not None and f"{MAX_LINE:,}" in str(long.error)
    error = RowError(3, "3 cells under a header of 2")
    assert parse(RawRow(1, 3, b"[]", error=error)).error is error


def test_lone_surrogates_come_out_as_text() -> None:
    """The row is asked; nothing after this point can choke on half a character."""
    found = row(b'{"id": "\\ud83d", "prompt": "a\\udc00 \\ud83d\\ude00"}')
    assert (found.id, found.prompt) == ("\\ud83d", "a\\udc00 \U0001f600")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
ANY = st.recursive(
    SCALARS | st.just(KEY) | st.just("user"),
    lambda child: (
        st.lists(child, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "stream", "x"]), child, max_size=3
        )
    ),
    max_leaves=6,
)
NAMES = [
    "prompt",
    "messages",
    "id",
    "model",
    "system",
    "params",
    "tag",
    "custom_id",
    "method",
    "url",
    "body",
    "x",
]


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(NAMES), ANY), st.booleans())
def test_no_object_makes_parse_raise(value: dict[str, Any], template: bool) -> None:
    """One odd row must not end a batch; what is taken can be journaled."""
    data = json.dumps(value).encode()
    found = row(data, template)
    assert may_have_id(RawRow(0, 1, data)) or not found.own_id
    if found.error is None:
        assert found.messages or found.prompt or template
        assert canonical([found.id, found.prompt, found.messages, found.system, found.params])


@pytest.mark.parametrize("name", [b"id", b"custom_id", b"\\u0069d", b"i\\u0064", b"custom\\u005fid"])
def test_an_id_is_seen_however_it_is_written(name: bytes) -> None:
    """A row whose id was overlooked could have another row's."""
    data = b'{"%b": "a", "prompt": "hi"}' % name
    assert row(data, template=True).own_id
    assert may_have_id(RawRow(0, 1, data))
    assert not may_have_id(RawRow(0, 1, b'{"prompt": "an id of"}'))


@given(st.binary(), st.booleans(), st.booleans())
def test_no_bytes_make_parse_raise(data: bytes, text: bool, template: bool) -> None:
    """Whatever stands on a line, it is a row or a failed row."""
    assert isinstance(parse(RawRow(0, 1, data, 0, text), template), Row)


def test_a_file_of_bad_rows_is_not_slow() -> None:
    """The nearest name costs a search; a million rows with the same wrong column ask once."""
    start = time.process_time()
    for _ in range(5_000):
        row({"prompt": "x", "promptt": "y"})
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ('{"prompt": "what is a \\"body\\"?"}', False),
        ('{"id": "a", "prompt": "x", "params": {"body": 1}}', False),
        ('{"tag": "a", "prompt": "x"}', False),
        ('{"tag": "a", "prompt": "body"}', None),
        ('{"custom_id": "a", "body": {"messages": [{"role": "user", "content": "x"}]}}', True),
        ('{"body": {"messages": [{"role": "user", "content": "x"}]}}', None),
        ('{"\\u0062ody": {"messages": [{"role": "user", "content": "x"}]}}', None),
    ],
)
def test_a_kind_told_by_bytes_is_what_reading_finds(data: str, told: bool | None) -> None:
    """A million finished rows are not read again to know their form; where that is a guess they are."""
    raw = RawRow(0, 1, data.encode())
    assert openai_kind(raw) is told
    row = parse(raw)
    assert row.error is None
    assert told in (None, row.openai)
