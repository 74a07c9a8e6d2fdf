"""The detectors together: how well, how fast, and that hostile texts cannot slow them down."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmctl.core.profile import PRIVACY_KINDS, PrivacyRule
from llmctl.privacy.detect import Detector, detector, find
from tests.privacy.samples import FILE, UNSEEN, load, scores

RULE = PrivacyRule(
    redact=PRIVACY_KINDS,
    names=("Anna Müller", "Bob", "王小明", "O'Brien"),
    words={"project": ["Blue Bird"]},
    patterns={"badge": r"\bB-\d{5}\b"},
)
SECRETS = PrivacyRule(redact=("secret",))
HOSTILE = {
    "single digits": "4 ",
    "digits": "1" * 50,
    "groups": "11 11 11 ",
    "cards": "4111 1111 1111 1112 ",
    "phones": "212-555-0123 ",
    "plus": "+",
    "plus numbers": "+49 30 ",
    "at": "@",
    "addresses": "a@a.",
    "local": "aaaa.aaaa.aaaa",
    "domains": "a@b.c.d.e.f.g.h.",
    "dots": "1.1.1.1.",
    "colons": "1:1:1:",
    "ibans": "DE89 3704 ",
    "iban heads": "DE89",
    "keys": "sk-",
    "keys apart": " sk-a1",
    "jwt": "eyJ",
    "jwt apart": " eyJaaaaaaaaaa.eyJ",
    "pem": "-----BEGIN PRIVATE KEY-----",
    "pem end": "-----BEGIN PRIVATE KEY----- -----END ",
    "addresses with users": "://a:",
    "passwords": "password ",
    "passwords is": "password is is ",
    "quotes": "password='\"",
    "names": "anna ",
    "placeholders": "<EMAIL_",
    "lower case": "İ",
    "spaces": " ",
    "letters": "a",
    "ssn": "123-45-",
    "ssn words": "ssn 1 ",
    "escapes": "\\n",
    "escapes of escapes": "\\\\\\\\n",
    "escaped addresses": "bob\\u0040a.de ",
    "names together": "密码",
}


@pytest.fixture(scope="module", params=[FILE, UNSEEN], ids=lambda file: file.stem)
def result(request: pytest.FixtureRequest) -> dict[str, tuple[float, float]]:
    return {kind: (score.precision, score.recall) for kind, score in scores(load(request.param)).items()}


def test_the_samples_are_many_and_of_many_languages() -> None:
    """A figure of quality means little on few samples, or on English alone."""
    for file, many, clean in ((FILE, 300, 100), (UNSEEN, 200, 80)):
        samples = load(file)
        assert len(samples) >= many
        assert len({sample.lang for sample in samples}) >= 10
        assert sum(not sample.spans for sample in samples) >= clean


@pytest.mark.parametrize("kind", ["card", "email", "iban", "ssn", "secret"])
def test_precision_and_recall(result: dict[str, tuple[float, float]], kind: str) -> None:
    """What has a form or a check sum must be found, and what only looks like it left alone."""
    assert min(result[kind]) >= 0.95


@pytest.mark.parametrize("kind", ["phone", "ip"])
def test_precision_and_recall_of_loose_forms(result: dict[str, tuple[float, float]], kind: str) -> None:
    """Phones and addresses share their form with dates, versions and order numbers."""
    assert min(result[kind]) >= 0.85


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_time_is_linear(name: str) -> None:
    """One megabyte made to hurt must take about four times as long as a quarter of it."""
    finder = Detector(RULE)
    piece = HOSTILE[name]
    finder.find(piece * 100)
    short, long = (_cpu(finder, (piece * (size // len(piece) + 1))[:size]) for size in (250_000, 1_000_000))
    assert long < 6 * short + 0.2


def _cpu(finder: Detector, text: str) -> float:
    started = time.process_time()
    finder.find(text)
    return time.process_time() - started


@given(st.text(max_size=80) | st.lists(st.sampled_from(list(HOSTILE.values())), max_size=6).map(" ".join))
@settings(max_examples=300, deadline=None)
def test_spans_are_in_order_and_true(text: str) -> None:
    """Whoever replaces spans relies on it: none overlaps, and each names what stands there."""
    end = 0
    for span in find(text, RULE):
        assert end <= span.start < span.end
        assert text[span.start : span.end] == span.value
        end = span.end


@pytest.mark.parametrize("digits", ["1234567890", "123456789012-123456789012"])
def test_slack_tokens_that_do_not_look_random(digits: str) -> None:
    """The team's number tells them from a word; what people make up for an example is a token too."""
    token = f"xoxb-{digits}-" + "".join(map(chr, range(97, 121)))
    assert [span.value for span in find(f"use {token} here", SECRETS)] == [token]
    assert not list(find("an xoxo-shaped-1234567890 thing", SECRETS))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"url":"https://x.com","email":"bob@example.com"}', ["bob@example.com"]),
        (
            "https://x.com,bob@example.com;http://y.org\tann@example.com",
            ["bob@example.com", "ann@example.com"],
        ),
        ('<a href="https://x.com">bob@example.com</a>', ["bob@example.com"]),
        ("https://bob@example.com/x and ssh://deploy:wo.rd@example.com/x", []),
        ("juan@empresa.com.py, not x@main.py", ["juan@empresa.com.py"]),
    ],
)
def test_addresses_beside_an_url(text: str, found: list[str]) -> None:
    """What stands behind an URL in compact JSON, CSV or HTML is no user of it; Paraguay is no file."""
    assert [span.value for span in find(text, PrivacyRule(redact=("email",)))] == found


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("card", "4111111111111111"),
        ("card", "4111 1111 1111 1111"),
        ("email", "bob@example.com"),
        ("ssn", "123-45-6789"),
        ("phone", "415-555-2671"),
        ("phone", "(415) 555-2671"),
        ("phone", "+14155552671"),
        ("iban", "DE89370400440532013000"),
        ("ip", "10.1.2.3"),
        ("secret", "AKIAIOSFODNN7EXAMPLE"),
    ],
)
@pytest.mark.parametrize(
    "cells", ["Bob,{},x", "12,{},13", "{},{}", "1;{};2", "1\t{}\t2", "|{}|", "[{},{}]", "n\n2,{}\n3,{}\n"]
)
def test_cells_of_a_table(kind: str, value: str, cells: str) -> None:
    """Tables are pasted into prompts as they are: a comma ends a value, whatever stands beside it."""
    many = cells.count("{}")
    spans = find(cells.format(*[value] * many), PrivacyRule(redact=(kind,)))
    assert [span.value for span in spans] == [value] * many


@pytest.mark.parametrize("text", ["3,1415926535 and 4155552671,50", "1,234,567,890", "0.4111111111111111"])
def test_fractions_and_sums_are_no_cells(text: str) -> None:
    """What only looks like a number to call, or to pay with, stays in the text."""
    assert find(text, PrivacyRule(redact=("card", "phone"))) == []


@pytest.mark.parametrize(
    "name", ["ssn", "user_ssn", "ssn_number", "employeeSSN", "social_security_number", "socialSecurityNumber"]
)
def test_social_security_numbers_beside_a_fields_name(name: str) -> None:
    """Nine digits alone are anything; what the field is called tells what they are."""
    text = f'{{"{name}": "123456789", "lessness": "987654321"}}'
    assert [span.value for span in find(text, PrivacyRule(redact=("ssn",)))] == ["123456789"]


def test_overlaps_become_one() -> None:
    """Of two findings over the same characters nothing may be left behind."""
    rule = PrivacyRule(redact=("email",), patterns={"left": "to bob", "inner": "example"})
    assert [(span.kind, span.value) for span in find("to bob@example.com", rule)] == [
        ("email", "to bob@example.com")
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ANNA MÜLLER called", ["ANNA MÜLLER"]),
        ("anna-müller", ["anna-müller"]),
        ("Anna Mu\u0308ller", ["Anna Mu\u0308ller"]),
        ("bobsled, Bobby, bob's", ["bob"]),
        ("我是王小明先生", ["王小明"]),
        ("o’brien and O'Brien", ["o’brien", "O'Brien"]),
        ("the blue bird team, bluebird", ["blue bird"]),
        ('{"n": "Anna M\\u00fcller"}', ["Anna M\\u00fcller"]),
        ("badge B-12345", ["B-12345"]),
    ],
)
def test_own_words(text: str, found: list[str]) -> None:
    """Names are whole words in any case, spelling of letters and hyphenation; patterns are exact."""
    assert [span.value for span in find(text, RULE)] == found


def test_kinds_that_are_off_find_nothing() -> None:
    """A profile that names one kind gets that one."""
    text = "bob@example.com 4111 1111 1111 1111"
    assert {span.kind for span in find(text, PrivacyRule(redact=("card",)))} == {"card"}
    assert find(text, PrivacyRule()) == []


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("card", "4111 1111 1111 1111"),
        ("email", "bob@example.com"),
        ("ssn", "123-45-6789"),
        ("phone", "+1 415 555 2671"),
        ("iban", "DE89370400440532013000"),
        ("ip", "10.1.2.3"),
        ("secret", "AKIAIOSFODNN7EXAMPLE"),
    ],
)
def test_one_kind_alone_is_found_every_time(kind: str, value: str) -> None:
    """A detector is made once and asked for each row of a batch: the second may not be passed by."""
    for _ in range(3):
        assert [span.value for span in find(f"now {value} here", PrivacyRule(redact=(kind,)))] == [value]


def test_equal_rules_share_a_detector() -> None:
    """Patterns are compiled once a profile, not once a row."""
    assert detector(PrivacyRule(redact=("card",))) is detector(PrivacyRule(redact=("card",)))
    assert detector(PrivacyRule(redact=("card",), region="DE")) is not detector(PrivacyRule(redact=("card",)))
