"""Placeholders and the way back."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmctl.core.errors import ConfigError, RequestRefused
from llmctl.core.model import Request, Target
from llmctl.core.profile import PRIVACY_KINDS, PrivacyRule
from llmctl.privacy.detect import detector
from llmctl.privacy.redact import PLACEHOLDER, Redactor, StreamRestorer, is_spotless

RULE = PrivacyRule(
    redact=PRIVACY_KINDS, names=("Anna Müller", "Bob"), patterns={"badge": r"B-\d{5}", "42": "forty-two"}
)
PIECES = st.sampled_from(
    [
        "bob@example.com",
        "4111 1111 1111 1111",
        "+49 30 1234567",
        "DE89370400440532013000",
        "<EMAIL_1>",
        "<EMAIL_2>",
        "<TEXT_1>",
        "<CARD_1",
        "NAME_1>",
        "<",
        ">",
        "<EMAIL_",
        "Anna Müller",
        "B-12345",
        "forty-two",
        "\\n",
        "\\u0040",
        "bob\\u0040example.com",
        "\\\\n4111111111111111",
        "password: hunter2x",
        " ",
        "\n",
        '"',
        "\\",
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=12), max_size=14).map("".join)


@given(TEXTS)
@settings(max_examples=400, deadline=None)
def test_round_trip(text: str) -> None:
    """Nobody may find a text changed by its way through: also one that holds placeholders already."""
    redactor = Redactor(RULE)
    assert redactor.restore(redactor.redact(text)) == text


@given(st.lists(TEXTS, min_size=2, max_size=4))
@settings(max_examples=200, deadline=None)
def test_round_trip_of_several_texts(texts: list[str]) -> None:
    """A placeholder typed in a later text must not be taken for one given out in an earlier."""
    redactor = Redactor(RULE)
    redacted = [redactor.redact(text) for text in texts]
    assert [redactor.restore(text) for text in redacted] == texts


@given(TEXTS, st.lists(st.integers(1, 9), max_size=60))
@settings(max_examples=300, deadline=None)
def test_stream_equals_whole(text: str, cuts: list[int]) -> None:
    """However the provider cuts its stream, a reader sees what restoring the whole would give."""
    redactor = Redactor(RULE)
    answer = redactor.redact(text)
    stream = StreamRestorer(redactor)
    shown, at = "", 0
    for cut in cuts:
        shown += stream.feed(answer[at : at + cut])
        at += cut
    shown += stream.feed(answer[at:]) + stream.flush()
    assert shown == redactor.restore(answer) == text


@given(TEXTS, st.sampled_from(["user", "tool", "system"]), st.none() | st.integers(0, 40))
@settings(max_examples=300, deadline=None)
def test_the_short_cut_lets_nothing_through(text: str, role: str, limit: int | None) -> None:
    """Rows without a finding skip the Redactor: only such that it would have left as they are."""
    rule = replace(RULE, max_chars=limit)
    messages = ({"role": role, "content": text},)
    request = Request(Target("main", "openai/test", "openai"), messages)
    redactor = Redactor(rule)
    untouched = redactor.redact_messages(messages) == messages and not redactor.warnings
    assert untouched or not is_spotless(request, detector(rule).find, rule.limit)


def test_what_is_not_plain_text_takes_the_long_way() -> None:
    """Parts, names, tool results, schemas and texts in the parameters are not looked at by the short cut."""
    target = Target("main", "openai/test", "openai")
    hidden = '{"to": "bob\\u0040example.com"}'
    for more in (
        {"messages": ({"role": "tool", "content": hidden},)},
        {"messages": ({"role": "user", "content": "hi", "name": "bob"},)},
        {"messages": ({"role": "user", "content": [{"type": "text", "text": "bob@example.com"}]},)},
        {"params": {"user": "bob@example.com"}},
        {"schema": {"description": "bob@example.com"}},
    ):
        request = Request(target, **{"messages": ({"role": "user", "content": "hi"},), **more})  # type: ignore[arg-type]
        assert not is_spotless(request, detector(RULE).find, None)
    assert is_spotless(Request(target, ({"role": "user", "content": "hi"},)), detector(RULE).find, None)


def test_stream_keeps_only_what_must_wait() -> None:
    """Streaming must stay streaming: only a possible placeholder is held, never ordinary text."""
    redactor = Redactor(RULE)
    redactor.redact("bob@example.com")
    stream = StreamRestorer(redactor)
    assert stream.feed("write to <EM") == "write to "
    assert stream.feed("AIL_1> now") == "bob@example.com now"
    assert stream.feed("a < b") == "a < b"
    assert stream.flush() == ""


def test_same_value_same_placeholder() -> None:
    """The model can only tell who is who if a person keeps one placeholder through the request."""
    redactor = Redactor(RULE)
    first = redactor.redact("bob@example.com and eve@example.com")
    assert first == "<EMAIL_1> and <EMAIL_2>"
    assert redactor.redact("eve@example.com") == "<EMAIL_2>"


def test_typed_placeholders_are_left_alone() -> None:
    """What the user typed stays as typed, and its number is not given to a value."""
    redactor = Redactor(RULE, "see <EMAIL_1>")
    assert redactor.redact("see <EMAIL_1>, bob@example.com") == "see <EMAIL_1>, <EMAIL_2>"


def test_equal_messages_give_equal_placeholders() -> None:
    """Cache keys and journals stand on it: the map is made again from the same messages."""
    messages = [{"role": "user", "content": "bob@example.com, 4111 1111 1111 1111, B-12345"}]
    assert Redactor(RULE).redact_messages(messages) == Redactor(RULE).redact_messages(messages)


def test_labels_of_the_profile_name_placeholders() -> None:
    """A profile's label becomes a placeholder's name, made to fit its letters."""
    redactor = Redactor(RULE)
    assert redactor.redact("B-12345 forty-two") == "<BADGE_1> <VALUE_42_1>"
    assert all(PLACEHOLDER.fullmatch(word) for word in redactor.redact("B-12345 forty-two").split())


def test_mask_is_not_undone() -> None:
    """`mask` promises that the value does not come back, not even in the answer."""
    redactor = Redactor(PrivacyRule(redact=("email",), mode="mask"))
    assert redactor.restore(redactor.redact("bob@example.com")) == "<EMAIL_1>"
    stream = StreamRestorer(redactor)
    assert stream.feed("<EMAIL_1> <EM") + stream.flush() == "<EMAIL_1> <EM"


ARGUMENTS = '{"card": 4111111111111111, "to":"A\\u0040 bob@example.com", "password": "tr0ub4dor&3"}'
CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "You help bob@example.com."},
    {
        "role": "user",
        "name": "bob@example.com",
        "content": [
            {"type": "text", "text": "my card 4111 1111 1111 1111"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,bob@example.com"}},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {
                    "name": "pay",
                    "arguments": ARGUMENTS,
                },
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": '{"mail": "bob@example.com", "n": 3}'},
]


def test_every_part_of_a_conversation_is_redacted() -> None:
    """A value leaks through the one place that was forgotten: names, parts, arguments, results."""
    redactor = Redactor(RULE)
    system, user, call, result = redactor.redact_messages(CONVERSATION)
    assert system["content"] == "You help <EMAIL_1>."
    assert user["name"] == "EMAIL_1"
    assert user["content"][0]["text"] == "my card <CARD_1>"
    assert user["content"][1] == CONVERSATION[1]["content"][1]
    arguments = json.loads(call["tool_calls"][0]["function"]["arguments"])
    assert arguments == {"card": "<CARD_2>", "to": "A@ <EMAIL_1>", "password": "<SECRET_1>"}
    assert json.loads(result["content"]) == {"mail": "<EMAIL_1>", "n": 3}
    assert "name" in CONVERSATION[1] and CONVERSATION[0]["content"] == "You help bob@example.com."


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ({"content": [{"type": "input_text", "input_text": "to bob@example.com"}]}, 1),
        (
            {
                "content": [
                    {
                        "type": "document",
                        "title": "for bob@example.com",
                        "context": "from bob@example.com",
                        "source": {"type": "text", "media_type": "text/plain", "data": "bob@example.com"},
                    }
                ]
            },
            3,
        ),
        ({"content": "x", "thinking_blocks": [{"type": "thinking", "thinking": "ask bob@example.com"}]}, 1),
        ({"content": "x", "reasoning_details": [[{"summary": ["bob@example.com"]}]]}, 1),
        ({"content": {"type": "text", "text": "bob@example.com"}}, 1),
    ],
)
def test_parts_of_other_kinds_are_redacted(message: dict[str, Any], left: int) -> None:
    """Formats grow parts that nobody here knows yet: what is a text in them may not leave either."""
    [sent] = Redactor(RULE).redact_messages([{"role": "user", **message}])
    assert "bob@example.com" not in json.dumps(sent)
    assert json.dumps(sent).count("<EMAIL_1>") == left


def test_pictures_and_signs_of_providers_stay_as_they_are() -> None:
    """Base64 may look like anything, and a signature that is changed makes the turn worthless."""
    parts = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "bob@example.com"}},
        {"type": "redacted_thinking", "data": "bob@example.com"},
        {"type": "thinking", "thinking": "…", "signature": "bob@example.com"},
        {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}},
    ]
    [sent] = Redactor(RULE).redact_messages([{"role": "assistant", "content": parts}])
    assert sent["content"] == parts


def test_arguments_stay_json_when_restored() -> None:
    """A value with quotes and line ends must not break the JSON of a tool call on its way back."""
    rule = PrivacyRule(patterns={"odd": r'a"\nb'})
    redactor = Redactor(rule)
    redacted = redactor.redact_json(json.dumps({"x": 'a"\nb', "y": 1}))
    assert json.loads(redacted) == {"x": "<ODD_1>", "y": 1}
    assert json.loads(redactor.restore(redacted, inside_json=True)) == {"x": 'a"\nb', "y": 1}


def test_json_without_findings_keeps_its_bytes() -> None:
    """Spaces, escapes and numbers are part of a request's identity: untouched where nothing is found."""
    text = '{ "a" : "\\u00e9", "n": 1.50e3, "l": [true, null] }'
    assert Redactor(RULE).redact_json(text) == text


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("4111 1111 1111 1111", "call\n<CARD_1>"),
        ("bob@example.com", "call\n<EMAIL_1>"),
        ("DE89370400440532013000", "call\n<IBAN_1>"),
        ("536-90-4399", "call\n<SSN_1>"),
        ("+49 30 1234567", "call\n<PHONE_1>"),
    ],
)
def test_values_inside_json_strings_are_found(times: int, value: str, left: str) -> None:
    """Prompts carry JSON, and JSON carries JSON: there a line end is a letter, which hides what follows."""
    text = f"call\n{value}"
    for _ in range(times):
        text = json.dumps({"note": text})
    redactor = Redactor(RULE)
    redacted = redactor.redact(text)
    assert redactor.restore(redacted) == text
    for _ in range(times):
        redacted = json.loads(redacted)["note"]
    assert redacted == left


def test_escaped_letters_hide_nothing() -> None:
    """An encoder may write any letter as its number."""
    for text in (
        '{"to": "bob\\u0040example.com"}',
        '{"n": "\\u0042ob"}',
        '{"card": "4111\\u002d1111\\u002d1111\\u002d1111"}',
    ):
        redactor = Redactor(RULE)
        redacted = redactor.redact(text)
        assert "<" in redacted and redactor.restore(redacted) == text
        json.loads(redacted)


def test_broken_json_is_still_redacted() -> None:
    """Arguments that a model left unfinished hold values too."""
    assert Redactor(RULE).redact_json('{"mail": "bob@example.com') == '{"mail": "<EMAIL_1>'


def test_parameters_and_schemas_are_redacted_without_breaking_names() -> None:
    """`user` and descriptions leave too; names of properties must stay what the answer will use."""
    redactor = Redactor(RULE)
    params = redactor.redact_params({"user": "bob@example.com", "temperature": 0.5, "stop": ["Bob"]})
    assert params == {"user": "<EMAIL_1>", "temperature": 0.5, "stop": ["<NAME_1>"]}
    unknown = redactor.redact_params(
        {"anything": {"deep": ["to bob@example.com"]}, "logit_bias": {"50256": -100}}
    )
    assert unknown == {"anything": {"deep": ["to <EMAIL_1>"]}, "logit_bias": {"50256": -100}}
    choice = {"tool_choice": {"type": "function", "function": {"name": "bob"}}}
    assert redactor.redact_params(choice) == choice
    schema = {
        "$comment": "asked by bob@example.com",
        "properties": {
            "bob": {"type": "string", "description": "as bob@example.com"},
            "title": {"enum": ["Bob"]},
            "default": {"type": "object", "default": {"mail": "bob@example.com"}},
        },
    }
    assert redactor.redact_schema(schema) == {
        "$comment": "asked by <EMAIL_1>",
        "properties": {
            "bob": {"type": "string", "description": "as <EMAIL_1>"},
            "title": {"enum": ["<NAME_1>"]},
            "default": {"type": "object", "default": {"mail": "<EMAIL_1>"}},
        },
    }


def test_long_texts_are_cut_before_a_value() -> None:
    """Half a card number is still a leak: the cut goes before a value that lies across it."""
    rule = PrivacyRule(redact=("card",), max_chars=20)
    redactor = Redactor(rule)
    text = "x" * 12 + " 4111 1111 1111 1111 and more"
    (message,) = redactor.redact_messages([{"role": "user", "content": text}])
    assert message["content"] == "x" * 12 + " "
    assert redactor.warnings == ["message 1: cut from 41 to 13 characters (privacy.max_chars)"]


def test_a_value_longer_than_the_limit_is_no_empty_prompt() -> None:
    """Cut before the only value nothing would be left, and nothing would be asked and paid for."""
    rule = PrivacyRule(redact=("email",), max_chars=20)
    redactor = Redactor(rule)
    text = "somebody.with.a.long.name@example.com and more"
    (message,) = redactor.redact_messages([{"role": "user", "content": text}])
    assert message["content"] == "<EMAIL_1>"
    assert redactor.warnings == ["message 1: cut from 46 to 37 characters (privacy.max_chars)"]


def test_long_texts_are_refused_where_the_profile_says_so() -> None:
    """`over_max: refuse` sends nothing rather than a part."""
    rule = PrivacyRule(max_chars=20, over_max="refuse")
    with pytest.raises(RequestRefused, match="21 characters"):
        Redactor(rule).redact_messages([{"role": "user", "content": "x" * 21}])


@pytest.mark.parametrize(
    ("rule", "limit"),
    [
        (PrivacyRule(), None),
        (PrivacyRule(redact=("email",)), 10_000),
        (PrivacyRule(redact=("email",), max_chars=0), None),
        (PrivacyRule(max_chars=50), 50),
    ],
)
def test_the_limit_does_not_surprise(rule: PrivacyRule, limit: int | None) -> None:
    """Without a word of the profile no text is cut; 10,000 is the limit where a profile redacts."""
    assert rule.limit == limit


def test_a_pattern_that_explodes_is_refused_and_nothing_is_sent() -> None:
    """A profile's catastrophic pattern must neither hang the program nor let a text through unsearched."""
    redactor = Redactor(PrivacyRule(patterns={"bad": r"(?:(?:a|b|ab)+)+$"}))
    with pytest.raises(ConfigError, match="bad: takes too long"):
        redactor.redact("ab" * 40 + "c")


def test_wrong_patterns_and_lists_are_named() -> None:
    """The profile's author must read which entry is wrong."""
    with pytest.raises(ConfigError, match=r"patterns\.bad"):
        Redactor(PrivacyRule(patterns={"bad": "("}))
    with pytest.raises(ConfigError, match=r"words\.list"):
        Redactor(PrivacyRule(words={"list": [1]}))
