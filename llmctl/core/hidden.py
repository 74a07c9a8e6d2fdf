"""The last step before anything is written: no key passes, whoever wrote it into the text.

Known to it are the keys that this process has loaded, the variables of its environment that are
named like one, and the beginnings that makers give their keys. One object for the whole process,
since a traceback, a library's log and a thread's last words know of no services.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

SHORTEST = 6
"""A shorter key is no secret, and hiding it would make every text unreadable."""
MASK = "***"

OPEN_KEY = (
    r"(?<![A-Za-z0-9])(?:(?:sk-|gsk_|xai-|pplx-|nvapi-)[A-Za-z0-9_-]{16,}"
    r"|AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_.-]{20,}|A[KS]IA[A-Z0-9]{16}(?![A-Z0-9])"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,}"
    r"|xox[abprs]-[A-Za-z0-9-]{10,}|[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|hf_[A-Za-z0-9]{20,}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)"
)
STARTS = (
    "sk-", "gsk_", "xai-", "pplx-", "nvapi-", "AIza", "ya29.", "AKIA", "ASIA", "glpat-", "xox",
    "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "k_live_", "k_test_", "hf_", "eyJ", "-----BEGIN",
)  # fmt: skip

_VARIABLES = ("KEY", "KEY_ID", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS", "WEBHOOK")
_KEY_NAMES = frozenset(
    {
        "apikey",
        "xapikey",
        "key",
        "token",
        "authtoken",
        "accesstoken",
        "bearer",
        "bearertoken",
        "authorization",
    }
    | {"proxyauthorization", "cookie", "secret", "password", "passwd", "xgoogapikey", "vertexcredentials"}
    | {"awsaccesskeyid", "awssecretaccesskey", "awssessiontoken", "azureadtoken", "credentials"}
)
_KEY_ENDS = (
    "apikey",
    "accesstoken",
    "authtoken",
    "secretkey",
    "subscriptionkey",
    "clientsecret",
    "accesskey",
)


def has_open_key(text: str) -> bool:
    """Whether a text holds what looks like a known maker's key. Compiled when first needed: it is large."""
    return any(start in text for start in STARTS) and re.search(OPEN_KEY, text) is not None


@lru_cache(maxsize=256)
def names_key(name: str) -> bool:
    """Whether a parameter or header of that name holds a key: `api_key`, `X-Api-Key`, `Authorization`."""
    plain = name.lower().replace("-", "").replace("_", "")
    return plain in _KEY_NAMES or plain.endswith(_KEY_ENDS)


class Hidden:
    """The keys of this process, and texts without them."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._watched: list[Mapping[str, str]] = []
        self._sorted: list[str] | None = []

    def add(self, key: str) -> None:
        """A key that was loaded: from now on no text that passes here holds it."""
        if len(key) >= SHORTEST and key not in self._forms:
            self._forms.update(_forms(key))
            self._sorted = None

    def watch(self, environ: Mapping[str, str]) -> None:
        """Variables named like keys count as loaded: libraries read theirs without asking us."""
        if not any(environ is known for known in self._watched):
            self._watched.append(environ)
            self._sorted = None

    def mask(self, text: str) -> str:
        """The text with `***` in the place of every key."""
        for form in self._known():
            if form in text:
                text = text.replace(form, MASK)
        return re.sub(OPEN_KEY, MASK, text) if any(start in text for start in STARTS) else text

    def holds(self, text: str) -> bool:
        """Whether a key of this process is in the text."""
        return any(form in text for form in self._known())

    def _known(self) -> list[str]:
        """Longest first: a key may be part of another."""
        if self._sorted is None:
            self._sorted = self._all()
        return self._sorted

    def _all(self) -> list[str]:
        found = set(self._forms)
        for environ in self._watched:
            for name, value in list(environ.items()):
                named = name.upper().rstrip("0123456789_").endswith(_VARIABLES)
                if named and len(value) >= 2 * SHORTEST and not value.startswith("/"):
                    found.update(_forms(value))
        return sorted(found, key=len, reverse=True)


def _forms(key: str) -> Iterator[str]:
    """The key as it is, inside JSON, inside an address."""
    yield key
    yield key.replace("\\", "\\\\").replace('"', '\\"')
    yield "".join(char if char.isalnum() or char in "-._~" else f"%{ord(char):02X}" for char in key)


KEYS = Hidden()
"""The process's own."""


def mask(text: str) -> str:
    """The text without any key that this process knows of."""
    return KEYS.mask(text)
