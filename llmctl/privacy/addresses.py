"""Addresses: e-mail (also international and percent-encoded), IPv4 and IPv6."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from llmctl.privacy.span import Span

_LATIN = r"A-Za-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"
_LOCAL_LATIN = re.compile(rf"[{_LATIN}._+%'~-]{{1,64}}")
_LOCAL_ANY = re.compile(r"[\w.+%'~-]{1,64}")
_DOMAIN_LATIN = re.compile(
    rf"(?:[{_LATIN}](?:[{_LATIN}-]{{0,61}}[{_LATIN}])?\.){{1,8}}(?:xn--[A-Za-z0-9-]{{2,59}}|[A-Za-z]{{2,24}})(?![{_LATIN}])"
)
_DOMAIN_ANY = re.compile(r"(?:[^\W_](?:[^\W_]|-(?=[\w-])){0,62}\.){1,8}[^\W\d_]{2,24}")
_SIGNS = ("@", "＠", "%40")
_FILES = frozenset(
    ("png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "bmp", "pdf", "css", "js", "ts", "py", "json")
)

_USER = re.compile(r"(?:[\w.~%+-]*:)?[\w.~%!$*+-]*")
"""What stands between `://` and what is no address, but a user and password: no sign that ends an URL."""


def emails(text: str) -> Iterable[Span]:
    """E-mail addresses. Not `git@host:path`, the authority of an URL, or files such as icon@2x.png."""
    return _emails(text) if "@" in text or "%40" in text or "＠" in text else ()


def _emails(text: str) -> Iterator[Span]:
    for sign in _SIGNS:
        at = text.find(sign)
        while at >= 0:
            after = at + len(sign)
            domain = _DOMAIN_LATIN.match(text, after) or _DOMAIN_ANY.match(text, after)
            if domain:
                start = _local_start(text, at)
                if start < at and not _no_email(text, start, at, domain.end()):
                    yield Span("email", start, domain.end(), text[start : domain.end()])
            at = text.find(sign, after)


def _local_start(text: str, at: int) -> int:
    """Where the part before the `@` begins: read backwards, so that each address is looked at once."""
    back = text[max(0, at - 64) : at][::-1]
    match = _LOCAL_LATIN.match(back) or _LOCAL_ANY.match(back)
    if not match:
        return at
    local = match[0][::-1]
    if back[0] == ".":
        return at
    return at - len(local.lstrip(".'~-%+"))


def _no_email(text: str, start: int, at: int, end: int) -> bool:
    local, (domain, _, tld) = text[start:at], text[at + 1 : end].lower().rpartition(".")
    if tld in _FILES and (tld != "py" or "." not in domain):  # Paraguay's addresses end in .com.py
        return True
    if local == "git" and text[end : end + 1] == ":":
        return True
    scheme = text.rfind("://", max(0, start - 200), start)
    return scheme >= 0 and _USER.fullmatch(text, scheme + 3, start) is not None


_V4 = re.compile(r"[0-9](?<![0-9A-Za-z_.\-][0-9])[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![0-9A-Za-z_]|[.\-][0-9])")
_VERSIONED = re.compile(
    r"(?<![a-z])(?:versi[a-zóã]*|ver|build|release|firmware|driver|revision|rev|section|chapter|kapitel|abschnitt|§|версия|版本|バージョン|버전"
    r"|الإصدار|संस्करण|sürüm|wersja|update|patch|v)[\s.:=]*\Z"
)
_V6 = re.compile(
    r"[0-9A-Fa-f:](?<![0-9A-Za-z_:.][0-9A-Fa-f:])[0-9A-Fa-f:]{3,38}(?::[0-9]{1,3}(?:\.[0-9]{1,3}){3})?(?![0-9A-Za-z_:])"
)


def ips(text: str) -> Iterable[Span]:
    """IPv4 and IPv6 addresses. Not loopback, `0.0.0.0`, netmasks and version numbers of four parts."""
    return _ips(text) if text.count(".") >= 3 or text.count(":") >= 2 else ()


def _ips(text: str) -> Iterator[Span]:
    if text.count(".") >= 3:
        for match in _V4.finditer(text):
            before = text[max(0, match.start() - 16) : match.start()].lower()
            if _is_ip(match[0]) and not _VERSIONED.search(before):
                yield Span("ip", match.start(), match.end(), match[0])
    if text.count(":") >= 2:
        for match in _V6.finditer(text):
            if match[0].count(":") >= 2 and _telling(match[0]) and _is_ip(match[0]):
                yield Span("ip", match.start(), match.end(), match[0])


def _telling(value: str) -> bool:
    """`bad::face` is a name in a program: an address has digits, and three colons or a usual start."""
    if not any(char.isdigit() for char in value):
        return False
    return value.count(":") >= 3 or value[0] in "23" or value[:2].lower() in ("fe", "fc", "fd", "ff", "64")


def _is_ip(value: str) -> bool:
    if ":" not in value:
        parts = value.split(".")
        sound = all(int(part) < 256 and (part[0] != "0" or len(part) == 1) for part in parts)
        return sound and parts[0] not in ("127", "255") and value != "0.0.0.0"  # noqa: S104  # not bound to
    import ipaddress

    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)
