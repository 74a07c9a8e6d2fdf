"""What redaction would find in a file, without sending anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmctl.core.profile import PrivacyRule
from llmctl.privacy.detect import detector
from llmctl.privacy.rewrite import Find, beside
from llmctl.privacy.span import Span

SHOWN = 1000
"""Rows with findings that a report lists; more are only counted."""
PROMPTS = frozenset(("prompt", "system", "content", "text", "input"))
"""Fields whose texts are sent as they are; of any other the name tells what its value is."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found in one row; `line` counts from 1. `spans` hold the values: show them only if asked."""

    line: int
    spans: tuple[Span, ...]


@dataclass(slots=True)
class ScanReport:
    """`counts`: values by kind; `rows`: rows read; `hits`: rows with findings; `found`: the first SHOWN."""

    counts: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    hits: int = 0
    found: list[Finding] = field(default_factory=list)


def scan(rows: Iterable[tuple[int, Any]], rule: PrivacyRule) -> ScanReport:
    """Searches row by row: a line's number and its text, or its JSON value. Memory does not grow."""
    find = detector(rule).find
    report = ScanReport()
    for line, value in rows:
        report.rows += 1
        if spans := tuple(_spans(value, "", find)):
            report.hits += 1
            report.counts.update(span.kind for span in spans)
            if len(report.found) < SHOWN:
                report.found.append(Finding(line, spans))
    return report


def _spans(value: Any, key: str, find: Find) -> Iterator[Span]:
    if isinstance(value, str):
        yield from find(value) if not key or key in PROMPTS else beside(key, value, find)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from find(name)
            yield from _spans(item, name, find)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _spans(item, key, find)
    elif isinstance(value, int) and value > 999_999:
        yield from beside(key, str(value), find)
