"""All detectors behind one door: `find(text, rule)` gives the spans that a profile's rule names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache, partial

from llmctl.core.profile import PrivacyRule
from llmctl.privacy.addresses import emails, ips
from llmctl.privacy.numbers import cards, ibans, ssns
from llmctl.privacy.phones import phones
from llmctl.privacy.secrets import secrets
from llmctl.privacy.span import Span, merge
from llmctl.privacy.words import Finder, listed, pattern_finder, word_finder

__all__ = ["Detector", "Span", "detector", "find"]

_DIGITS = re.compile(r"\d(?:\D{0,3}\d){6}")
"""Cards, SSNs and phones have at least seven digits, with at most three signs between two."""


class Detector:
    """A rule's detectors, made ready once. ConfigError where a pattern or list of the rule is wrong."""

    def __init__(self, rule: PrivacyRule) -> None:
        numeric: dict[str, Finder] = {
            "card": cards,
            "ssn": ssns,
            "phone": partial(phones, region=rule.region),
        }
        plain: dict[str, Finder] = {"iban": ibans, "email": emails, "ip": ips, "secret": secrets}
        self._numeric = [numeric[kind] for kind in numeric if kind in rule.redact]
        self._finders = [plain[kind] for kind in plain if kind in rule.redact]
        if rule.names or rule.words:
            lists = {"name": list(rule.names), **listed("words", rule.words)}
            self._finders.append(word_finder(lists))
        if rule.patterns:
            self._finders.append(pattern_finder("patterns", rule.patterns))

    def find(self, text: str) -> list[Span]:
        """What is found, in order and without overlaps. Time is linear in the text's length."""
        spans = list(self._all(text))
        return merge(text, spans) if spans else []

    def _all(self, text: str) -> Iterator[Span]:
        if self._numeric and _DIGITS.search(text):
            for finder in self._numeric:
                yield from finder(text)
        for finder in self._finders:
            yield from finder(text)


def find(text: str, rule: PrivacyRule) -> list[Span]:
    """The spans of `text` that `rule` names: kind, start, end (characters), value."""
    return detector(rule).find(text)


def detector(rule: PrivacyRule) -> Detector:
    """The rule's detector, kept for the next call with an equal rule."""
    return _kept(_Key(rule))


class _Key:
    """A rule as a key: its maps make it unhashable by itself."""

    def __init__(self, rule: PrivacyRule) -> None:
        self.rule = rule
        self.parts = (rule.redact, rule.names, repr(rule.words), repr(rule.patterns), rule.region)

    def __hash__(self) -> int:
        return hash(self.parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.parts == other.parts


@lru_cache(32)
def _kept(key: _Key) -> Detector:
    return Detector(key.rule)
