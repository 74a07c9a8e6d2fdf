"""Telephone numbers: shapes found here, numbering plans checked by phonenumbers.

The international form (`+49 30 …`) counts everywhere. A national number must be valid in the profile's
region and look like one: grouped as people group them, or beside a word such as `phone`, so that order
numbers, dates, versions, ISBNs and columns of figures stay what they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from llmctl.privacy.numbers import DIGITS, GAPS, plain_digits
from llmctl.privacy.span import Span

_RUN = re.compile(rf"[+＋(\d](?<!\d\d)(?:[{GAPS}()/]{{0,3}}\d){{6,24}}")
_CALLED = (
    re.compile(
        r"phone|telef|téléph|mobil|whatsapp|handy|rufnummer|anruf|celular|appel|portable|llam|chiama"
        r"|телефон|звон|моб|电话|電話|手机|手機|致电|拨打|联系方式|携帯|전화|휴대|연락처"
        r"|هاتف|جوال|موبايل|اتصل|फ़?ोन|फोन|मोबाइल|कॉल"
    ),
    re.compile(
        r"\b(?:tel(?:[.:]|\b)|tél\b|m[óo]vil|cell|fax|sms\b|call|dial|text me|lig(?:ue|ar)|bel\b|tlf|tfn"
        r"|тел\b)"
    ),
)
_COUNTED = (
    re.compile(
        r"order|invoice|ticket|tracking|serial|account|reference|version|build|customer n|policy|timestamp"
        r"|unix|epoch|konto|bestell|rechnung|kunden|commande|factur|facture|dossier|pedido|fattura|ordine|steuer"
        r"|заказ|счет|счёт|订单|訂單|编号|單號|单号|注文|주문|طلب|ऑर्डर"
    ),
    re.compile(
        r"\b(?:acct|ref\b|case|isbn|issn|ean\b|sku|id\b|art(?:icle|ikel)|part\b|vin\b|imei|iban|vat\b|tax"
        r"|p\.? ?iva|nif\b|dni\b|nip\b|cnpj\b|cpf\b|инн|tva\b|siret|duns)"
    ),
)
"""Words that speak of a telephone, and words that speak of any other number: those with fixed letters,
which are quick to look for, and those that only count at a word's beginning."""
_NUMBERED = re.compile(r"nummer|number|n[uú]mer|\bno\.|nr\.|n°|nº|№|#|номер|番号|번호|رقم|संख्या")
"""Weak words: they speak of telephones as often as of anything else, so they rule on plain digits alone."""
_YEAR = re.compile(r"(?:19|20)\d\d")


def phones(text: str, region: str, taken: Sequence[Span] = ()) -> Iterator[Span]:
    """Telephone numbers; `region` is the ISO 3166 code whose national forms count.

    None begins inside a span of `taken`: a card's digits are no number to call.
    """
    places = sorted((span.end, span.start) for span in taken)
    n = 0
    for run in _RUN.finditer(text):
        begin, end = run.span()
        while n < len(places) and places[n][0] <= begin:
            n += 1
        if n < len(places) and places[n][1] <= begin and end <= places[n][0]:
            continue
        groups = [match.span() for match in DIGITS.finditer(text, begin, end)]
        at = 0
        while at < len(groups):
            if _inside(places, n, groups[at][0]):
                at += 1
                continue
            last, start = _phone_at(text, groups, at, region.upper())
            if last < 0:
                at += 1
                continue
            end = groups[last][1]
            if text[start] == "(" and ")" not in text[start:end]:
                start += 1
            yield Span("phone", start, end, text[start:end])
            at = last + 1


def _inside(places: list[tuple[int, int]], n: int, place: int) -> bool:
    """Whether one of the places (end, start) from the n-th on holds `place`."""
    while n < len(places) and places[n][0] <= place:
        n += 1
    return n < len(places) and places[n][1] <= place


def _phone_at(text: str, groups: list[tuple[int, int]], at: int, region: str) -> tuple[int, int]:
    """The last group and the start of the number that begins with group `at`; (-1, 0) where none does."""
    start, plus = _lead(text, groups[at][0])
    if start and (_glued(text[start - 1]) or (not plus and text[start - 1] in "-_/.#$€£¥%@&?")):
        return -1, 0
    fraction = not plus and start > 1 and text[start - 1] == "," and text[start - 2].isdecimal()
    digits = 0
    ends = []
    sizes = None if plus or text.startswith("00", start) else _sizes(region)
    for n in range(at, min(at + 8, len(groups))):
        digits += groups[n][1] - groups[n][0]
        if digits > 15 or (n > at and "\n" in text[groups[n - 1][1] : groups[n][0]]):
            break
        if digits >= 7 and (sizes is None or digits in sizes):
            ends.append(n)
    for n in reversed(ends):
        if fraction and n == at:  # 3,1415926535; in groups it is the next cell of a CSV
            break
        if _closed(text, groups, at, n, plus) and _holds(text, start, groups[at : n + 1], plus, region):
            return n, start
    return -1, 0


def _lead(text: str, start: int) -> tuple[int, bool]:
    """Where the number starts with its `(` and `+`, and whether it has a `+`."""
    while start and text[start - 1] == "(":
        start -= 1
    before = start - 1 if start and text[start - 1] in "+＋" else start - 2
    if before >= 0 and text[before] in "+＋" and text[before + 1 : start].strip("(\u00a0 ") == "":
        start = before
        return (start - 1 if start and text[start - 1] == "(" else start), True
    return start, False


def _glued(char: str) -> bool:
    return (char.isascii() and char.isalnum()) or char.isdecimal()


def _closed(text: str, groups: list[tuple[int, int]], at: int, last: int, plus: bool) -> bool:
    """Whether the number ends here: nothing glued to it, and no longer list of groups around it."""
    end = groups[last][1]
    after = text[end : end + 2]
    if after and (_glued(after[0]) or after[0] in "_@%" or (after[0] in "-/.:" and after[1:].isalnum())):
        return False
    if after[:1] == "," and after[1:].isdecimal() and not plus and at == last:  # 4155552671,50
        return False
    if plus:
        return True
    inner = _gaps(text, groups[at : last + 1])
    if at and text[groups[at - 1][1] : groups[at][0]] in inner:
        return False
    return last + 1 >= len(groups) or text[end : groups[last + 1][0]] not in inner


def _holds(text: str, start: int, groups: list[tuple[int, int]], plus: bool, region: str) -> bool:
    end = groups[-1][1]
    value = text[start:end]
    if plus:
        return _valid(value, region) or (value[1:2].isdecimal() and _possible_abroad(value))
    if value.startswith("00") and len(value) > 8 and _valid("+" + plain_digits(value)[2:], region):
        return True
    size = sum(end - start for start, end in groups)
    if size not in _sizes(region) or not _possible(text, groups, value):
        return False
    if not _valid(value, region) and not _made_up(value, region):
        return False
    before = text[max(0, start - 32) : start].lower()
    called, counted = _last(_CALLED, before), _last(_COUNTED, before)
    if called <= counted and counted >= 0:
        return False
    if called >= 0:
        return len(groups) == 1 or _usual_apart(groups, region)
    if len(groups) > 1:
        return not _like_a_sum(text, groups) and _usual_apart(groups, region)
    return not _NUMBERED.search(before) and _usual_together(value, region)


def _last(words: tuple[re.Pattern[str], ...], before: str) -> int:
    """Where the last of the words ends in what stands before the number, -1 where none does."""
    return max((match.end() for form in words for match in form.finditer(before)), default=-1)


def _possible(text: str, groups: list[tuple[int, int]], value: str) -> bool:
    """Whether groups and separators can be those of a telephone number, not of a date or version."""
    sizes = [end - start for start, end in groups]
    parts = [text[start:end] for start, end in groups]
    if 1 in sizes[1:] or (sizes[0] == 1 and parts[0] not in "01789" and "(" not in value):
        return False
    gaps = _gaps(text, groups)
    if gaps == {"."} and (len(groups) == 2 or (len(groups) == 4 and max(sizes) <= 3)):
        return False
    if "." in gaps and "-" in gaps:
        return False
    return not _dated(parts, sizes)


def _gaps(text: str, groups: list[tuple[int, int]]) -> set[str]:
    return {text[left[1] : right[0]] for left, right in pairwise(groups)}


def _like_a_sum(text: str, groups: list[tuple[int, int]]) -> bool:
    """Thousands in groups of three: 1.234.567, 1 234 567 890."""
    gaps = _gaps(text, groups)
    sizes = [end - start for start, end in groups]
    if len(groups) < 3 or sizes[0] > 3 or any(size != 3 for size in sizes[1:]):
        return False
    return gaps == {"."} or (gaps == {" "} and len(groups) > 3)


def _dated(parts: list[str], sizes: list[int]) -> bool:
    """Dates and ranges of years: 2024-05-01, 01.05.2024, 2019-2023, 20240501."""
    if sizes[:2] == [4, 4] and len(sizes) == 2:
        return all(_YEAR.fullmatch(part) for part in parts)
    if len(sizes) >= 3 and sizes[0] == 4 and sizes[1] <= 2 and sizes[2] <= 2 and _YEAR.fullmatch(parts[0]):
        return int(parts[1]) <= 12 and int(parts[2]) <= 31
    if len(sizes) >= 3 and sizes[0] <= 2 and sizes[1] <= 2 and sizes[2] == 4 and _YEAR.fullmatch(parts[2]):
        return min(int(parts[0]), int(parts[1])) <= 12 and max(int(parts[0]), int(parts[1])) <= 31
    return sizes[0] == 8 and bool(re.match(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])", parts[0]))


@lru_cache(8)
def _sizes(region: str) -> frozenset[int]:
    """How many digits a national number of the region has, its leading 0, 1 or 8 counted or not."""
    import phonenumbers

    plan = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if plan is None or plan.general_desc is None:
        return frozenset()
    lengths = plan.general_desc.possible_length
    return frozenset(length + more for length in lengths if length > 0 for more in (0, 1, 2))


@lru_cache(256)
def _lines(region: str) -> tuple[re.Pattern[str] | None, str]:
    """The region's fixed and mobile numbers as one pattern, and what is dialled before them inside it."""
    import phonenumbers

    plan = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if plan is None:
        return None, ""
    kinds = [kind.national_number_pattern for kind in (plan.fixed_line, plan.mobile) if kind]
    return re.compile("|".join(f"(?:{kind})" for kind in kinds if kind)), plan.national_prefix or ""


def _is_line(digits: str, region: str) -> bool:
    """A quick yes for most numbers; no says nothing: the library then looks at all of its rules."""
    form, prefix = _lines(region)
    if form is None or len(digits) not in _sizes(region):
        return False
    return bool(form.fullmatch(digits) or (prefix and form.fullmatch(digits.removeprefix(prefix))))


def _is_line_abroad(digits: str) -> bool:
    import phonenumbers

    for size in (1, 2, 3) if not digits.startswith("0") else ():
        regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(digits[:size] or 0))
        if regions:
            form, _ = _lines(regions[0])
            return form is not None and bool(form.fullmatch(digits[size:]))
    return False


def _valid(value: str, region: str) -> bool:
    digits = plain_digits(value)
    if _is_line_abroad(digits) if value[0] in "+＋" else _is_line(digits, region):
        return True
    import phonenumbers

    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(value, region)))
    except phonenumbers.NumberParseException:
        return False


def _possible_abroad(value: str) -> bool:
    """A `+` and as many digits as the country's numbers have: plans change, and examples are made up."""
    import phonenumbers

    try:
        number = phonenumbers.parse(value)
    except phonenumbers.NumberParseException:
        return False
    return len(plain_digits(value)) >= 10 and bool(phonenumbers.is_possible_number(number))


def _made_up(value: str, region: str) -> bool:
    """North America's area code 555 and (123) 456-7890, as people write them where they mean a telephone."""
    import phonenumbers

    if region not in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1]:
        return False
    return bool(re.fullmatch(r"1?(?:555\d{7}|1234567890)", plain_digits(value)))


def _usual_apart(groups: list[tuple[int, int]], region: str) -> bool:
    """Whether the groups are usual in the region: in North America 3-3-4, elsewhere as people like."""
    import phonenumbers

    if region not in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1]:
        return True
    sizes = tuple(end - start for start, end in groups)
    return sizes[sizes[0] == 1 :] in ((3, 3, 4), (3, 7), (6, 4), (10,))


def _usual_together(value: str, region: str) -> bool:
    """Whether a number without gaps may count without a word beside it: mobiles, and a leading 0."""
    import phonenumbers

    if region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1]:
        return False
    number = phonenumbers.parse(value, region)
    mobile = phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.MOBILE
    return len(value) >= 9 and (mobile or (value[0] == "0" and value[1] != "0"))
