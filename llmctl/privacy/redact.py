"""Placeholders for what must not leave, and the way back.

One Redactor lives as long as one request, in memory alone. The same messages give the same placeholders
in the same order, so that cache keys and journals are steady and the map can be made again from them.

Why restore(redact(text)) == text: a placeholder is `<`, a label, a number and `>`, without a `<` or `>`
inside. Whatever looks like one in the redacted text is therefore either ours, whole, or stood there
before; and numbers that stood there before are never given out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from llmctl.core.errors import RequestRefused
from llmctl.core.model import Message, Request
from llmctl.core.profile import PrivacyRule
from llmctl.privacy.detect import detector
from llmctl.privacy.rewrite import Find, is_json, rewrite, rewrite_json
from llmctl.privacy.span import Span, merge

PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]{0,47}_[0-9]{1,9}>")
_BEGUN = re.compile(r"<(?:[A-Z][A-Z0-9_]{0,60})?\Z")
_LABEL = re.compile(r"[^A-Z0-9]+")

LOOK_AHEAD = 8192
"""Characters read beyond a cut, so that a value across it is found and left out whole."""

_NO_TEXT = frozenset(("role", "id", "type", "tool_call_id", "signature"))
_MEDIA = frozenset((
    *("image", "image_url", "video_url", "audio_url", "document_url", "input_audio", "inline_data", "url"),
    *("uri", "file_uri", "file_id", "file_data", "encrypted_content", "thought_signature", "cache_control"),
))  # fmt: skip
"""Fields of parts that are pictures, sounds, addresses of such, or signs of a provider's own."""
_PARTS = frozenset(("text", "refusal", "content", "thinking"))
_SCHEMA_TEXTS = frozenset(("description", "title", "examples", "default", "enum", "const", "$comment"))
_NAMED = frozenset(("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"))
"""Keywords below which a schema's own names stand, be they called `title` or `default`."""
_SCHEMA_PARAMS = frozenset(("tools", "functions", "response_format", "tool_choice", "function_call"))
_CALLED = frozenset(("function", "custom"))
_WITH_TEXTS = (str, dict, list, tuple)
_PLAIN_ROLES = frozenset(("user", "system", "assistant", "developer"))


class Redactor:
    """One request's placeholders. ConfigError where the rule's patterns or lists are wrong.

    `texts` are all that the request holds, as far as known: what looks like a placeholder in them is
    left alone and its number not given out. `warnings` says what was cut.
    """

    def __init__(self, rule: PrivacyRule, *texts: str) -> None:
        self.rule = rule
        self.warnings: list[str] = []
        self._detector = detector(rule)
        self._limit = rule.limit
        self._values: dict[str, str] = {}
        self._placeholders: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._typed: set[str] = set()
        self._hidden: dict[str, str] = {}
        self._reserve(texts)

    @property
    def found(self) -> bool:
        """Whether anything stands behind placeholders that are put back."""
        return bool(self._values) and self.reversible

    @property
    def reversible(self) -> bool:
        """Whether placeholders are put back; with `mask` they stay in the answer."""
        return self.rule.mode == "reversible"

    def redact(self, text: str) -> str:
        """The text with placeholders for what is found; never cut."""
        return rewrite(text, self._find(text), self._name)

    def redact_json(self, text: str) -> str:
        """As `redact`, for a text that is JSON and must stay JSON."""
        return rewrite_json(text, self._find, self._name)

    def restore(self, text: str, *, inside_json: bool = False) -> str:
        """The text with the values in their places again; `inside_json` escapes them for JSON strings."""
        if not self._values or not self.reversible or "<" not in text:
            return text
        if inside_json:
            return PLACEHOLDER.sub(lambda match: _escaped(self._values.get(match[0], match[0])), text)
        return PLACEHOLDER.sub(lambda match: self._values.get(match[0], match[0]), text)

    def hide(self, text: str, *, inside_json: bool = False) -> str:
        """The way back from `restore`: placeholders again for the values it put in their places."""
        if not self._values or not self.reversible:
            return text
        return self._hiding(inside_json).sub(lambda match: self._hidden[match[0]], text)

    def _hiding(self, inside_json: bool) -> re.Pattern[str]:
        """The longest value first, so that none is taken for the part of another."""
        form = _escaped if inside_json else str
        self._hidden = {form(value): placeholder for placeholder, value in self._values.items()}
        return re.compile("|".join(map(re.escape, sorted(self._hidden, key=len, reverse=True))))

    def redact_messages(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The messages with every text redacted; images and other media are left as they are.

        A text over the rule's limit is cut (see `warnings`), or RequestRefused by `over_max: refuse`.
        """
        self._reserve(_strings(messages))
        return tuple(self._message(n, message) for n, message in enumerate(messages))

    def redact_params(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Model parameters with every text in them redacted; of tools and formats the names are kept."""
        touched = {key: value for key, value in params.items() if isinstance(value, _WITH_TEXTS)}
        if not touched:
            return params
        self._reserve(_strings(touched))
        changed = {
            key: self.redact_schema(value) if key in _SCHEMA_PARAMS else self._deep(value)
            for key, value in touched.items()
        }
        return {**params, **changed}

    def redact_schema(self, schema: Any) -> Any:
        """A JSON schema with its descriptions, examples and constants redacted, its names kept."""
        self._reserve(_strings(schema))
        return self._schema(schema)

    def _schema(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self._keyword(key, item) for key, item in value.items()}
        return [self._schema(item) for item in value] if isinstance(value, list | tuple) else value

    def _keyword(self, key: str, value: Any) -> Any:
        if key in _SCHEMA_TEXTS:
            return self._deep(value)
        if key in _NAMED and isinstance(value, Mapping):
            return {name: self._schema(item) for name, item in value.items()}
        return self._schema(value)

    def _deep(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, Mapping):
            return {key: self._deep(item) for key, item in value.items()}
        return [self._deep(item) for item in value] if isinstance(value, list | tuple) else value

    def _message(self, n: int, message: Message) -> Message:
        changed = dict(message)
        for key, value in message.items():
            if key == "content":
                changed[key] = self._content(n, value, message.get("role") in ("tool", "function"))
            elif key == "tool_calls" and isinstance(value, list | tuple):
                changed[key] = [self._call(n, call) for call in value]
            elif key == "function_call":
                changed[key] = self._function(n, value)
            elif key == "name" and isinstance(value, str):
                changed[key] = self.redact(value).replace("<", "").replace(">", "")
            elif isinstance(value, str) and key not in _NO_TEXT:
                changed[key] = self._text(n, value)
            elif key not in _NO_TEXT:
                changed[key] = self._field(n, {}, key, value, result=False)
        return changed

    def _content(self, n: int, content: Any, result: bool) -> Any:
        if isinstance(content, str):
            if result and is_json(content):
                return self._json(n, content)
            return self._text(n, content)
        return self._part(n, content, result)

    def _part(self, n: int, part: Any, result: bool) -> Any:
        if isinstance(part, str):
            return self._text(n, part)
        if isinstance(part, list | tuple):
            return [self._part(n, each, result) for each in part]
        if not isinstance(part, Mapping):
            return part
        return {key: self._field(n, part, key, value, result) for key, value in part.items()}

    def _field(self, n: int, part: Mapping[str, Any], key: str, value: Any, result: bool) -> Any:
        """One field of a part: every text in it, also of parts that are not known here."""
        if key in _NO_TEXT or key in _MEDIA or (key == "data" and part.get("type") != "text"):
            return value
        if key in _PARTS:
            return self._content(n, value, result)
        if key == "input":
            return self._deep(value)
        return self.redact(value) if isinstance(value, str) else self._part(n, value, result)

    def _call(self, n: int, call: Any) -> Any:
        if not isinstance(call, Mapping):
            return call
        return {key: self._function(n, value) if key in _CALLED else value for key, value in call.items()}

    def _function(self, n: int, function: Any) -> Any:
        if not isinstance(function, Mapping):
            return function
        changed = dict(function)
        for key in ("arguments", "input"):
            if isinstance(value := function.get(key), str):
                changed[key] = self._json(n, value)
            elif value is not None:
                changed[key] = self._deep(value)
        return changed

    def _json(self, n: int, text: str) -> str:
        if self._limit is not None and len(text) > self._limit and self.rule.over_max == "refuse":
            raise self._refusal(n, text)
        return self.redact_json(text)

    def _text(self, n: int, text: str) -> str:
        limit = self._limit
        if limit is None or len(text) <= limit:
            return self.redact(text)
        if self.rule.over_max == "refuse":
            raise self._refusal(n, text)
        spans = self._find(text[: limit + LOOK_AHEAD])
        end = min([limit, *(span.start for span in spans if span.start < limit < span.end)])
        if not text[
            :end
        ].strip():  # one value alone fills the limit: its placeholder is short, nothing is worse
            end = min((span.end for span in spans if span.end > limit), default=end)
        self.warnings.append(
            f"message {n + 1}: cut from {len(text):,} to {end:,} characters (privacy.max_chars)"
        )
        return rewrite(text[:end], [span for span in spans if span.end <= end], self._name)

    def _refusal(self, n: int, text: str) -> RequestRefused:
        return RequestRefused(
            f"message {n + 1} has {len(text):,} characters, over privacy.max_chars ({self._limit:,})",
            hint="shorten it, or raise privacy.max_chars in the profile (0: no limit)",
        )

    def _reserve(self, texts: Iterable[str]) -> None:
        for text in texts:
            if "<" in text:
                self._typed.update(PLACEHOLDER.findall(text))

    def _find(self, text: str) -> list[Span]:
        spans = self._detector.find(text)
        if "<" not in text:
            return spans
        typed = list(PLACEHOLDER.finditer(text))
        self._typed.update(match[0] for match in typed if match[0] not in self._values)
        ours = [match for match in typed if match[0] in self._values]
        if not ours:
            return spans
        # Typed after that number was given out: it gets a placeholder of its own.
        return merge(text, [*spans, *(Span("text", *match.span(), match[0]) for match in ours)])

    def _name(self, span: Span) -> str:
        known = self._placeholders.get(span.value)
        if known is not None:
            return known
        label = _label(span.kind)
        while True:
            self._numbers[label] = self._numbers.get(label, 0) + 1
            placeholder = f"<{label}_{self._numbers[label]}>"
            if placeholder not in self._typed:
                break
        self._placeholders[span.value] = placeholder
        self._values[placeholder] = span.value
        return placeholder


def is_spotless(request: Request, find: Find, limit: int | None) -> bool:
    """Whether a plain request holds nothing to hide or cut: most rows of most files are of this kind.

    False where parts, tools, schemas or texts among the parameters want the closer look of a Redactor.
    """
    if request.schema is not None:
        return False
    for value in request.params.values():
        if isinstance(value, _WITH_TEXTS):
            return False
    for message in request.messages:
        text = message.get("content")
        if len(message) != 2 or not isinstance(text, str) or message.get("role") not in _PLAIN_ROLES:
            return False
        if (limit is not None and len(text) > limit) or find(text):
            return False
    return True


class StreamRestorer:
    """Restores a text that comes in pieces: what may be the beginning of a placeholder waits."""

    def __init__(self, redactor: Redactor, *, inside_json: bool = False) -> None:
        self._redactor = redactor
        self._inside_json = inside_json
        self._held = ""

    def feed(self, chunk: str) -> str:
        """The text that is safe to show now; empty while a placeholder is incomplete."""
        text = self._held + chunk
        begun = _BEGUN.search(text, max(0, len(text) - 64)) if self._redactor.reversible else None
        at = begun.start() if begun else len(text)
        self._held = text[at:]
        return self._redactor.restore(text[:at], inside_json=self._inside_json)

    def flush(self) -> str:
        """What still waited, at the end of the text."""
        held, self._held = self._held, ""
        return self._redactor.restore(held, inside_json=self._inside_json)


def _label(kind: str) -> str:
    """A kind's or label's name as placeholders write it: capitals, digits and underscores."""
    label = _LABEL.sub("_", kind.upper()).strip("_")[:40]
    return label if label[:1].isalpha() else f"VALUE_{label}".rstrip("_")


def _escaped(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
