"""What a provider says in an error, in whatever shape, made one line that is safe to show."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

LONGEST = 300
"""Characters of a provider's message that are shown."""

KEY_RUN, TEXT_RUN = 8, 20
"""Characters in a row that give away a part of the key, and of a prompt."""
SHORTEST = 6
"""Characters of a prompt's text under which it is a word like any other."""

_READ = 64 * 1024  # bytes of an error body that are looked at
_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+"
)
_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    # the keys' own beginnings, also where the provider starred out the middle
    r"(?:(?:sk|pk|rk|gsk|csk|xai|pplx|hf|fw|nvapi|r8|tgp|ghp|gho|github_pat|ya29)[-_.*]|AIza|AKIA)"
    r"[\w*.\-]*[\w*]{8,}"
    r"|eyJ[\w.\-]{16,}"
    # an identifier in hexadecimal groups, which some houses use as keys
    r"|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    # a long run of letters and digits mixed
    r"|(?=[A-Za-z]*\d)(?=\d*[A-Za-z])(?=(?:[A-Za-z]*\d){3})[A-Za-z0-9+/=_]{24,}"
    r")"
)
_NAMED = re.compile(
    r"(?i)((?:api[ _-]?key|token|bearer|secret)(?: provided)?\s*[:=]?\s*[\"'`]?)(?=\S*[\d*])([\w*.+/=\-]{8,})"
)


def shown(text: str, secret: str | None = None) -> str:
    """One line of at most 300 characters without control characters and without anything like a key.

    `secret` is the key that was sent: it is masked wherever it stands, whatever it looks like.
    """
    text = " ".join(_CONTROL.sub(" ", text[: 8 * LONGEST]).split())
    if secret:
        text = text.replace(secret, "***")
    text = _KEY.sub("***", _NAMED.sub(r"\1***", text))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def without(message: str, secret: str | None, texts: Iterable[str]) -> str:
    """The message without what it repeats of the key and of the prompt's texts, whole or in part.

    Providers and gateways quote what they were sent, and a log is no place for either.
    """
    if secret:
        message = _without_runs(message, secret, KEY_RUN)
    for text in texts:
        text = " ".join(_CONTROL.sub(" ", text).split())
        if len(text) > TEXT_RUN:
            message = _without_runs(message, text, TEXT_RUN)
        elif len(text) >= SHORTEST:
            message = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", "***", message)
    return message


def _without_runs(message: str, text: str, run: int) -> str:
    """`***` in the place of every stretch of at least `run` characters that is in the text too."""
    run = min(run, len(text))
    kept: list[str] = []
    start = 0
    while start < len(message):
        end = start + run
        if end > len(message) or message[start:end] not in text:
            kept.append(message[start])
            start += 1
            continue
        while end < len(message) and message[start : end + 1] in text:
            end += 1
        kept.append("***")
        start = end
    return "".join(kept)


@dataclass(frozen=True, slots=True)
class Told:
    """An error as told: its message, its code names in lower case, a status that the body names, the JSON."""

    message: str = ""
    codes: frozenset[str] = frozenset()
    status: int | None = None
    json: Any = None

    def says(self, *phrases: str) -> bool:
        """Does the message contain one of these (lower-case) phrases?"""
        message = self.message.lower()
        return any(phrase in message for phrase in phrases)


def read(body: bytes) -> Told:
    """An error body of OpenAI, Anthropic, Google, Mistral, Cohere, Ollama, FastAPI, or plain text."""
    text = body[:_READ].decode("utf-8", "replace").strip()
    if text[:1] in ("{", "["):
        try:
            return understand(json.loads(text))
        except (ValueError, RecursionError):
            pass  # no JSON after all: shown as the text it is
    if text[:1] == "<":
        title = re.search(r"(?is)<title[^>]*>(.*?)</title>", text)
        return Told(f"an HTML page{f' ({title[1].strip()})' if title and title[1].strip() else ''}")
    return Told(text)


def understand(value: Any) -> Told:
    """The same for a body that is decoded already."""
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, str):
        return Told(value, json=value)
    if not isinstance(value, Mapping):
        return Told(json=value)
    core = value.get("error") or value
    core = core if isinstance(core, Mapping) else {"message": core}
    codes = frozenset(str(code).lower() for code in _codes(value, core) if code is not None)
    number = next((int(code) for code in codes if re.fullmatch(r"[345]\d\d", code)), None)
    return Told(_message(core, value), codes, number, value)


def _codes(value: Mapping[str, Any], core: Mapping[str, Any]) -> Iterator[Any]:
    """All that names the kind of the error, also inside Google's details and Azure's innererror."""
    for each in (value, core, core.get("innererror"), core.get("metadata")):
        if isinstance(each, Mapping):
            found = (each.get(name) for name in ("code", "type", "status", "error_type", "reason"))
            yield from (code for code in found if isinstance(code, str | int))
    for detail in _details(core):
        yield detail.get("reason")
        for violation in detail.get("violations") or ():
            if isinstance(violation, Mapping):
                yield violation.get("quotaId")


def _details(core: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    details = core.get("details")
    return [each for each in details if isinstance(each, Mapping)] if isinstance(details, list) else []


def _message(core: Mapping[str, Any], value: Mapping[str, Any]) -> str:
    found = next(filter(None, (each.get(name) for each in (core, value) for name in _MESSAGES)), "")
    told = _text(found)
    metadata = core.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None  # a gateway: what its provider said
    return f"{told}: {_text(raw)}" if raw else told


_MESSAGES = ("message", "detail", "msg", "error", "error_message", "errors")


def _text(value: Any, depth: int = 0) -> str:
    """Texts as they are; FastAPI's list of `{loc, msg}` and nested objects as a sentence."""
    if isinstance(value, str):
        return value
    if depth < 4 and isinstance(value, Mapping):
        where = ".".join(map(str, value["loc"])) + ": " if isinstance(value.get("loc"), list) else ""
        found = next((value[name] for name in _MESSAGES if value.get(name)), "")
        return where + _text(found, depth + 1)
    if depth < 4 and isinstance(value, list):
        return "; ".join(filter(None, (_text(each, depth + 1) for each in value[:5])))
    return ""
