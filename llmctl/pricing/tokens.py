"""How many tokens a prompt has: an upper bound at once, and a count with a tokenizer.

The bound is for reservations, on the way of every call; it costs microseconds. The count is for
`estimate`, checks and limits; its first use loads a vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmctl.core.model import Message

PER_MESSAGE, PER_ANSWER, PER_NAME = 3, 3, 1
"""What OpenAI's chat format adds to the texts: around a message, before the answer, for a name."""

BOUND_MESSAGE, BOUND_REQUEST, BOUND_ALONG = 16, 128, 600
"""The same as a bound for every provider, and for each schema or list of tools that goes along: some
put in a system prompt of their own, Anthropic one of some 500 tokens for tools."""

BOUND_IMAGE, BOUND_DEAR_IMAGE = 10_240, 50_000
"""The most an image is: 10,000 patches (OpenAI's finest detail), 8 tiles and the base for gpt-4o-mini."""

PLAIN_MESSAGE = {"role", "content"}
DEAR_IMAGES = "gpt-4o-mini"
AUDIO_CHARS = 16
"""Base64 characters of audio a token, at least: 32 tokens a second (Gemini) of 0.5 kB (4 kbit/s)."""

AGAIN, SHORT = 256, 64
"""How many texts a Meter remembers, and up to how many characters a last message is one of them."""


@dataclass(frozen=True, slots=True)
class Count:
    """Tokens, the tokenizer that counted them, and whether that is how the provider counts too."""

    tokens: int
    tokenizer: str
    exact: bool


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is in messages: texts, image parts, characters of audio and of other files."""

    texts: list[str]
    images: list[Mapping[str, Any]]
    audio: int
    files: int
    named: int


def upper_bound(messages: Sequence[Message], *sent: object, model: str = "") -> int:
    """Tokens that the messages cannot exceed, whatever the tokenizer: a token is a byte at least.

    `sent` is what goes along and is read as input too, such as a JSON schema or tools; None is nothing.
    `model` lowers the bound of images where it is known.
    """
    plain = plain_bound(messages)
    if plain is not None:
        return plain + along(sent)
    parts = _parts(messages)
    texts = sum(map(_bytes, parts.texts))
    known = model and DEAR_IMAGES not in model
    images = len(parts.images) * (BOUND_IMAGE if known else BOUND_DEAR_IMAGE)
    overhead = BOUND_MESSAGE * (len(messages) + parts.named) + BOUND_REQUEST
    return texts + images + math.ceil(parts.audio / AUDIO_CHARS) + parts.files + along(sent) + overhead


def plain_bound(messages: Sequence[Message]) -> int | None:
    """The upper bound of messages that hold a text and nothing else, as most do; None for others."""
    total = BOUND_REQUEST + BOUND_MESSAGE * len(messages)
    for each in messages:
        if each.keys() != PLAIN_MESSAGE or each["content"].__class__ is not str:
            return None
        total += _bytes(each["content"]) + _bytes(str(each["role"]))
    return total


def along(sent: Sequence[object]) -> int:
    """Tokens that what goes along cannot exceed; None is nothing."""
    return sum(BOUND_ALONG + _json_bytes(item) for item in sent if item is not None)


def _bytes(text: str) -> int:
    """In UTF-8, a lone surrogate counted as the three bytes that it would have."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def count(what: str | Sequence[Message], model: str = "") -> Count:
    """The tokens of a text alone, or of messages with what the chat format adds.

    Exact for texts to models whose encoding is public. Images are counted by their provider's rule,
    audio and files only roughly, and other tokenizers by the nearest one that is at hand.
    """
    from llmctl.pricing.encodings import counter, tokenizer_of

    tokenizer = tokenizer_of(model)
    tokens_of = counter(tokenizer.encoding)
    if isinstance(what, str):
        return Count(math.ceil(tokens_of(what) * tokenizer.factor), tokenizer.name, tokenizer.own)
    parts = _parts(what)
    text = math.ceil(sum(tokens_of(text) for text in parts.texts) * tokenizer.factor)
    overhead = PER_MESSAGE * len(what) + PER_NAME * parts.named + PER_ANSWER
    media = _media(parts, model)
    return Count(text + overhead + media, tokenizer.name, tokenizer.own and not media)


@dataclass(frozen=True, slots=True)
class Measure:
    """The tokens of a request's texts, of what the format adds, of images, audio and files."""

    texts: int
    overhead: int
    media: int

    @property
    def tokens(self) -> int:
        """All of them: what `count` gives."""
        return self.texts + self.overhead + self.media


class Meter:
    """Counts many requests to one model. Texts that come again (system, examples) are encoded once."""

    def __init__(self, model: str) -> None:
        from functools import lru_cache

        from llmctl.pricing.encodings import counter, tokenizer_of

        self.model = model
        self.tokenizer = tokenizer_of(model)
        self._tokens_of = counter(self.tokenizer.encoding)
        self._again = lru_cache(AGAIN)(self._tokens_of)

    def measure(self, messages: Sequence[Message], *along: object) -> Measure:
        """`along` is read as input too, such as a schema or tools; None is nothing."""
        last, before = _parts(messages[-1:]), _parts(messages[:-1])
        tokens = sum(self._again(text) for text in before.texts)
        for text in last.texts:
            tokens += self._again(text) if len(text) <= SHORT else self._tokens_of(text)
        tokens += sum(self._again(_json(item)) for item in along if item is not None)
        media = _media(before, self.model) + _media(last, self.model)
        named = before.named + last.named
        overhead = PER_MESSAGE * len(messages) + PER_NAME * named + PER_ANSWER
        return Measure(math.ceil(tokens * self.tokenizer.factor), overhead, media)


def _media(parts: _Parts, model: str) -> int:
    """Images by rule; audio and files by the size that is usual: 100 characters of base64 a token."""
    if not (parts.images or parts.audio or parts.files):
        return 0
    from llmctl.pricing.images import image_tokens

    return sum(image_tokens(image, model) for image in parts.images) + (parts.audio + parts.files) // 100


def _parts(messages: Sequence[Message]) -> _Parts:
    parts = _Parts([], [], 0, 0, 0)
    audio = files = named = 0
    for message in messages:
        for key, value in message.items():
            if key == "content" and isinstance(value, list | tuple):
                for kind, part in _kinds(value):
                    if kind == "text":
                        parts.texts.append(part)
                    elif kind == "image":
                        parts.images.append(part)
                    elif kind == "audio":
                        audio += part
                    else:
                        files += part
            elif isinstance(value, str):
                parts.texts.append(value)
                named += key == "name"
            elif value is not None:
                parts.texts.append(_json(value))
    return _Parts(parts.texts, parts.images, audio, files, named)


def _kinds(content: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Each part of a message's content with its kind; what is not known counts as the text it is."""
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text" and isinstance(part.get("text"), str):
            yield "text", part["text"]
        elif kind == "image_url":
            yield "image", part
        elif kind == "input_audio":
            yield "audio", len(_json(part))
        elif kind == "file":
            yield "file", len(_json(part))
        else:
            yield "text", part if isinstance(part, str) else _json(part)


def _json(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, default=str)


def _json_bytes(value: object) -> int:
    """The bytes of a value as JSON, where each sign beyond ASCII may be written as an escape."""
    import json

    return len(json.dumps(value, default=str))
