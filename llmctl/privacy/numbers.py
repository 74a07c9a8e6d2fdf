"""Numbers with check rules: payment cards, US social security numbers, IBANs.

Cards: ISO/IEC 7812 (issuer prefix, length, Luhn); SSN: the ranges the SSA never assigns;
IBAN: ISO 13616 (length by country, mod 97-10). The check sums are python-stdnum's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from llmctl.privacy.span import Span

GAPS = r" .\-\u00a0\u2007\u2009\u2010-\u2015\u202f\u2212"
"""What people put between groups of digits, as the inside of a character class."""

DIGITS = re.compile(r"\d+")
_NO_DIGIT = re.compile("[^0-9]+")
_LONG = re.compile(rf"\d(?<!\d\d)(?:[{GAPS}]{{0,3}}\d){{12,}}")
_SHAPES = frozenset(
    {
        (4, 4, 4, 4),
        (4, 4, 4, 4, 1),
        (4, 4, 4, 4, 2),
        (4, 4, 4, 4, 3),
        (4, 6, 5),
        (4, 6, 4),
        (4, 5, 6),
        (4, 3, 3, 3),
        (6, 10),
        (6, 13),
        (8, 8),
    }
)
_FIRST = frozenset((*(shape[0] for shape in _SHAPES), *range(13, 20)))
"""How long a card's first group is: most groups are told by it at once."""
_ISSUERS: tuple[tuple[re.Pattern[str], frozenset[int]], ...] = tuple(
    (re.compile(prefix), frozenset(lengths))
    for prefix, lengths in (
        (r"4", (13, 16, 19)),  # Visa
        (r"5[1-5]|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)", (16,)),  # Mastercard
        (r"3[47]", (15,)),  # American Express
        (r"3(?:0[0-5]|095|6|[89])", (14, 16, 19)),  # Diners Club
        (r"6(?:011|4[4-9]|5)", (16, 17, 18, 19)),  # Discover, RuPay
        (r"35(?:2[89]|[3-8]\d)", (16, 17, 18, 19)),  # JCB
        (r"62|81", (16, 17, 18, 19)),  # UnionPay
        (r"50[1-9]|5[678]|6(?:0|3|7)", (16, 18, 19)),  # Maestro, RuPay, Elo, Verve
        (r"220[0-4]", (16, 17, 18, 19)),  # Mir
        (r"9792", (16,)),  # Troy
    )
)


def cards(text: str) -> Iterator[Span]:
    """Payment cards of 13 to 19 digits, written together or in the usual groups."""
    for run in _LONG.finditer(text):
        groups = [match.span() for match in DIGITS.finditer(text, *run.span())]
        at = 0
        while at < len(groups):
            last = _card_at(text, groups, at)
            if last < 0:
                at += 1
                continue
            start, end = groups[at][0], groups[last][1]
            yield Span("card", start, end, text[start:end])
            at = last + 1


def _card_at(text: str, groups: list[tuple[int, int]], at: int) -> int:
    """The last group of the card that starts with group `at`, -1 where none does."""
    start, end = groups[at]
    if end - start not in _FIRST or text[start] in "017":  # no issuer has such numbers
        return -1
    if _joined_before(text, start) or text[max(0, start - 2) : start] in _DECIMAL:
        return -1
    shape: tuple[int, ...] = ()
    gap = ""
    found = -1
    for n in range(at, min(at + 5, len(groups))):
        shape += (groups[n][1] - groups[n][0],)
        if sum(shape) > 19:
            break
        if n > at:
            here = text[groups[n - 1][1] : groups[n][0]]
            if gap and here != gap:
                break
            gap = here
        if _is_card(text, start, groups[n][1], shape):
            found = n
    return found


_DECIMAL = frozenset(f"{digit}." for digit in "0123456789")
"""What stands before the digits of a fraction. Behind a comma it is far more often the next cell of a CSV."""


def _is_card(text: str, start: int, end: int, shape: tuple[int, ...]) -> bool:
    if not (shape in _SHAPES or (len(shape) == 1 and 13 <= shape[0] <= 19)):
        return False
    if end < len(text) and _joined(text[end]):
        return False
    digits = plain_digits(text[start:end])
    if not any(len(digits) in lengths and prefix.match(digits) for prefix, lengths in _ISSUERS):
        return False
    if len(digits) == 13 and _is_ean(digits):
        return False
    from stdnum import luhn

    return bool(luhn.is_valid(digits))


def plain_digits(value: str) -> str:
    """The decimal digits of any script, as ASCII."""
    if value.isascii():
        return _NO_DIGIT.sub("", value)
    return "".join(str(int(char)) for char in value if char.isdecimal())


def _joined(char: str) -> bool:
    """Whether a neighbour makes a number part of a longer token, such as a hash or a variable."""
    return (char.isascii() and char.isalnum()) or char == "_" or char.isdecimal()


def _joined_before(text: str, start: int) -> bool:
    """As `_joined`, for what stands before: a word alone, as in `VISA4111…` or `card_4111…`, is none."""
    if not start or not _joined(text[start - 1]):
        return False
    return not _WORD_BEFORE.search(text, max(0, start - 16), start)


_WORD_BEFORE = re.compile(r"(?<![0-9A-Za-z])(?![A-Fa-f]*\Z)[A-Za-z]{2,12}_?\Z")


def _is_ean(digits: str) -> bool:
    """A valid EAN-13: goods that start with 4 are far more common than Visa cards of 13 digits."""
    total = sum(int(digit) * (3 if n % 2 else 1) for n, digit in enumerate(digits))
    return total % 10 == 0


_SSN = re.compile(
    r"[0-8](?<![0-9A-Za-z_.+\-/][0-8])[0-9]{2}([\- \u2010-\u2015])(?!00)[0-9]{2}\1(?!0000)[0-9]{4}"
    r"(?![0-9A-Za-z_]|[\-./][0-9])"
)
_SSN_WORD = re.compile(
    r"(?<![A-Za-z])(?i:ssn)(?![A-Za-z])|(?<=[a-z])S[Ss][Nn](?![a-z])"
    r"|(?i:social[ _-]?security|\bsoc\.? sec\b)"
)
"""Also in the names of fields: `user_ssn`, `employeeSsn`, `socialSecurityNumber`."""
_SSN_LOOSE = re.compile(
    r"[0-9]{9}(?<![0-9A-Za-z_]{10})(?![0-9A-Za-z_])|[0-9]{3}\.[0-9]{2}\.[0-9]{4}(?![0-9])"
)


def ssns(text: str) -> Iterator[Span]:
    """US social security numbers: in groups of 3-2-4, or together within 40 characters of their name."""
    for match in _SSN.finditer(text):
        yield from _ssn(match)
    lower = text.lower()
    if "ssn" not in lower and "soc" not in lower:
        return
    for word in _SSN_WORD.finditer(text):
        match_after = _SSN_LOOSE.search(text, word.end(), min(len(text), word.end() + 50))
        if match_after and not text[match_after.end() : match_after.end() + 1].isdigit():
            yield from _ssn(match_after)


def _ssn(match: re.Match[str]) -> Iterator[Span]:
    from stdnum.us import ssn

    digits = plain_digits(match[0])
    if not _never_assigned(digits) and ssn.is_valid(f"{digits[:3]}-{digits[3:5]}-{digits[5:]}"):
        yield Span("ssn", match.start(), match.end(), match[0])


def _never_assigned(digits: str) -> bool:
    return digits[:3] in ("000", "666") or digits[0] == "9" or digits[3:5] == "00" or digits[5:] == "0000"


_IBAN = re.compile(r"[0-9]{2}(?<=[A-Za-z]{2}[0-9]{2})(?=[ \-\u00a0\u202f]{0,2}[0-9A-Za-z])")
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FK FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}


def ibans(text: str) -> Iterator[Span]:
    """IBANs of every country that has them, together or in groups."""
    done = 0
    for match in _IBAN.finditer(text):
        start = match.start() - 2
        length = _IBAN_LENGTHS.get(text[start : match.start()].upper(), 0)
        if start < done or not length:
            continue
        if start and _joined(text[start - 1]) and text[max(0, start - 4) : start].upper() != "IBAN":
            continue
        body = _iban_body(length - 4).match(text, match.end())
        if body and _iban_holds(text[start : body.end()]):
            yield Span("iban", start, body.end(), text[start : body.end()])
            done = body.end()


@lru_cache(64)
def _iban_body(length: int) -> re.Pattern[str]:
    return re.compile(rf"(?:[ \-\u00a0\u202f]{{0,2}}[0-9A-Za-z]){{{length}}}(?![0-9A-Za-z])")


def _iban_holds(value: str) -> bool:
    from stdnum import iban

    number = re.sub(r"[^0-9A-Za-z]", "", value).upper()
    return bool(iban.is_valid(number, check_country=False))
