"""The profile's own lists: names and words as whole words, patterns as they are written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping, Sequence
from itertools import pairwise
from typing import Any

from llmctl.core.errors import ConfigError
from llmctl.privacy.span import Span

Finder = Callable[[str], Iterator[Span]]

_WORD = re.compile(r"[\w\u0300-\u036f]+")
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]"
)
"""Scripts that write words together, or endings to them: names in these are found inside words too."""

SECONDS = 1.0
SECONDS_PER_MB = 5.0
"""What one pattern may take for one text, before it is refused rather than waited for."""


def folded(word: str) -> str:
    """The form in which words are compared: composed, without case."""
    if word.isascii():
        return word.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", word).casefold())


def word_finder(lists: Mapping[str, Iterable[str]]) -> Finder:
    """Finds the lists' entries (label: entries), whatever their case and the spaces or hyphens inside.

    Time does not grow with the length of the lists: each word of the text is looked up once.
    """
    phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    inside: dict[str, str] = {}
    for label, entries in lists.items():
        for entry in entries:
            _enter(entry.strip(), label, phrases, inside)
    for found in phrases.values():
        found.sort(key=lambda phrase: -len(phrase[0]))

    def find(text: str) -> Iterator[Span]:
        if phrases:
            yield from _find_phrases(text, phrases)
        for entry, label in inside.items():
            yield from _find_inside(text, entry, label)

    return find


def _enter(
    entry: str, label: str, phrases: dict[str, list[tuple[tuple[str, ...], str]]], inside: dict[str, str]
) -> None:
    if not entry:
        return
    if _UNSPACED.search(entry):
        inside[unicodedata.normalize("NFC", entry)] = label
        return
    words = tuple(folded(word) for word in _WORD.findall(entry))
    if not words:
        inside[entry] = label
        return
    phrases.setdefault(words[0], []).append((words, label))
    if not entry.isascii():
        # As JSON writes it where it escapes: a prompt may hold a whole JSON text.
        for form in {entry, entry.title(), entry.upper()}:
            inside["".join(char if char.isascii() else f"\\u{ord(char):04x}" for char in form)] = label


def _find_phrases(text: str, phrases: dict[str, list[tuple[tuple[str, ...], str]]]) -> Iterator[Span]:
    if not _any_begins(text, phrases.keys()):
        return
    words = [(folded(match[0]), match.start(), match.end()) for match in _WORD.finditer(text)]
    for at, (word, start, _) in enumerate(words):
        for phrase, label in phrases.get(word, ()):
            last = at + len(phrase) - 1
            if last < len(words) and _same(text, words[at : last + 1], phrase):
                yield Span(label, start, words[last][2], text[start : words[last][2]])
                break


def _any_begins(text: str, firsts: KeysView[str]) -> bool:
    """Whether a first word of any phrase stands in the text; the usual answer is no, and quick."""
    if not text.isascii():
        return not firsts.isdisjoint(map(folded, _WORD.findall(text)))
    lower = text.lower()
    if len(firsts) <= 40 and not any([first in lower for first in firsts]):  # noqa: C419  a list is quicker here
        return False
    return not firsts.isdisjoint(_WORD.findall(lower))


def _same(text: str, words: Sequence[tuple[str, int, int]], phrase: tuple[str, ...]) -> bool:
    """Whether the words are the phrase's, with at most two signs or spaces between neighbours."""
    if tuple(word for word, _, _ in words) != phrase:
        return False
    return all(right[1] - left[2] <= 2 for left, right in pairwise(words))


def _find_inside(text: str, entry: str, label: str) -> Iterator[Span]:
    at = text.find(entry)
    while at >= 0:
        yield Span(label, at, at + len(entry), entry)
        at = text.find(entry, at + len(entry))


def listed(section: str, value: Mapping[str, Any]) -> dict[str, list[str]]:
    """A map of label to texts, checked; ConfigError names what is wrong."""
    lists = {}
    for label, entries in value.items():
        if isinstance(entries, str):
            entries = [entries]
        if not isinstance(entries, list | tuple) or not all(isinstance(entry, str) for entry in entries):
            raise ConfigError(f"privacy.{section}.{label}: a list of texts is wanted", hint="write [a, b, c]")
        lists[str(label)] = list(entries)
    return lists


def pattern_finder(section: str, patterns: Mapping[str, Any]) -> Finder:
    """Finds the profile's patterns (label: regular expression); ConfigError for one that does not compile.

    A pattern that needs longer than SECONDS + SECONDS_PER_MB for a text raises ConfigError: what could
    not be searched is not sent. (Whether a pattern can explode is not decidable by looking at it in
    every case; the time it takes is.)
    """
    import regex

    compiled = []
    for label, pattern in patterns.items():
        try:
            compiled.append((str(label), regex.compile(str(pattern))))
        except regex.error as error:
            raise ConfigError(
                f"privacy.{section}.{label}: not a regular expression: {error}", hint="mend the pattern"
            ) from None

    def find(text: str) -> Iterator[Span]:
        limit = SECONDS + SECONDS_PER_MB * len(text) / 1e6
        for label, pattern in compiled:
            try:
                for match in pattern.finditer(text, timeout=limit):
                    if match.end() > match.start():
                        yield Span(label, match.start(), match.end(), match[0])
            except TimeoutError:
                raise ConfigError(
                    f"privacy.{section}.{label}: takes too long on a text of {len(text):,} characters",
                    hint="bound its repetitions, such as {1,40} for +, and nest none",
                ) from None

    return find
