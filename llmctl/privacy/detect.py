"""All detectors behind one door: `find(text, rule)` gives the spans that a profile's rule names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from llmctl.core.profile import PrivacyRule
from llmctl.privacy.span import Span, merge

__all__ = ["Detector", "Span", "detector", "find"]

Finder = Callable[[str], Iterable[Span]]

_FEWEST = 7
_DIGITS = re.compile(r"\d(?:\D{0,3}\d){6}")
"""Cards, SSNs and phones have at least seven digits, with at most three signs between two."""
_IBAN = re.compile(r"[0-9]{2}(?<=[A-Za-z]{2}[0-9]{2})")
_NO_DIGITS = bytes(set(range(256)) - set(b"0123456789"))


class Detector:
    """A rule's detectors, made ready once. ConfigError where a pattern or list of the rule is wrong.

    The numbers' detectors are loaded with the first text that has digits enough, since compiling their
    patterns takes longer than a short text.
    """

    def __init__(self, rule: PrivacyRule) -> None:
        self._rule = rule
        self._phones = "phone" in rule.redact
        self._wants_numbers = bool({"card", "ssn", "phone"} & set(rule.redact))
        self._numbers: list[Finder] | None = None
        self._ibans = "iban" in rule.redact
        self._finders: list[Finder] = []
        if "email" in rule.redact or "ip" in rule.redact:
            from llmctl.privacy.addresses import emails, ips

            self._finders += [find for kind, find in (("email", emails), ("ip", ips)) if kind in rule.redact]
        if "secret" in rule.redact:
            from llmctl.privacy.secrets import secrets

            self._finders.append(secrets)
        if rule.names or rule.words or rule.patterns:
            self._finders += _own(rule)

    def find(self, text: str) -> list[Span]:
        """What is found, in order and without overlaps. Time is linear in the text's length.

        Every finder begins with a quick look, since the usual text holds nothing.
        """
        spans = self._plainly(text)
        if "\\" in text:
            spans = self._inside(text, spans)
        return merge(text, spans) if spans else spans

    def _inside(self, text: str, spans: list[Span]) -> list[Span]:
        """The spans, and those of the text as it is meant where it is JSON inside a string."""
        from llmctl.privacy.escapes import levels, outward

        for meant, steps in levels(text):
            found = [outward(span, steps, text) for span in self._plainly(meant)]
            # `\nbob@example.com`: what takes the `n` along would leave half an escape behind.
            ends = {span.end for span in found}
            spans = [
                span for span in spans if span.end not in ends or text[span.start - 1 : span.start] != "\\"
            ]
            spans += found
        return spans

    def _plainly(self, text: str) -> list[Span]:
        spans: list[Span] = []
        if self._wants_numbers or self._ibans:
            digits = _digits(text)
            if digits > 1 and self._ibans and _IBAN.search(text):
                from llmctl.privacy.numbers import ibans

                spans.extend(ibans(text))
            if digits >= _FEWEST and self._wants_numbers and _DIGITS.search(text):
                if self._numbers is None:
                    self._numbers = _numbers(self._rule)
                for finder in self._numbers:
                    spans.extend(finder(text))
                if self._phones:
                    from llmctl.privacy.phones import phones

                    spans.extend(phones(text, self._rule.region, spans))
        for finder in self._finders:
            spans.extend(finder(text))
        return spans


def _digits(text: str) -> int:
    """How many digits the text has; of one beyond ASCII only that there may be many."""
    return len(text.encode().translate(None, _NO_DIGITS)) if text.isascii() else _FEWEST


def _numbers(rule: PrivacyRule) -> list[Finder]:
    from llmctl.privacy.numbers import cards, ssns

    finders: dict[str, Finder] = {"card": cards, "ssn": ssns}
    return [finders[kind] for kind in finders if kind in rule.redact]


def _own(rule: PrivacyRule) -> list[Finder]:
    from llmctl.privacy.words import listed, pattern_finder, word_finder

    finders: list[Finder] = []
    if rule.names or rule.words:
        finders.append(word_finder({"name": list(rule.names), **listed("words", rule.words)}))
    if rule.patterns:
        finders.append(pattern_finder("patterns", rule.patterns))
    return finders


def find(text: str, rule: PrivacyRule) -> list[Span]:
    """The spans of `text` that `rule` names: kind, start, end (characters), value."""
    return detector(rule).find(text)


@lru_cache(32)
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
