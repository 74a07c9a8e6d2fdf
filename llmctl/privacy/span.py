"""A found value with its place, and how overlapping ones become one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

SPECIFIC = ("secret", "card", "iban", "email", "ssn", "ip", "phone")
"""The built-in kinds, the most telling first: decides between two that cover the same characters."""

KINDS = frozenset((*SPECIFIC, "name"))


class Span(NamedTuple):
    """`text[start:end] == value`; `kind` is a built-in kind, `name`, or a label of the profile."""

    kind: str
    start: int
    end: int
    value: str


def merge(text: str, spans: Iterable[Span]) -> list[Span]:
    """Non-overlapping spans in order; overlapping ones become one over all their characters.

    The kind is that of the longest, then that of the most specific. Covering the union, and not only the
    longest, leaves no part of a found value behind.
    """
    ordered = sorted(set(spans), key=lambda span: (span.start, -span.end, _rank(span.kind), span.kind))
    merged: list[Span] = []
    best = 0
    for span in ordered:
        if merged and span.start < merged[-1].end:
            last = merged[-1]
            kind = last.kind
            if span.end - span.start > best:
                kind, best = span.kind, span.end - span.start
            end = max(last.end, span.end)
            merged[-1] = Span(kind, last.start, end, text[last.start : end])
        else:
            merged.append(span)
            best = span.end - span.start
    return merged


def _rank(kind: str) -> int:
    return SPECIFIC.index(kind) if kind in SPECIFIC else -1
