"""What redaction would find in a file, without sending anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from llmctl.core.profile import PrivacyRule
from llmctl.privacy.detect import detector
from llmctl.privacy.span import Span

SHOWN = 1000
"""Lines with findings that a report lists; more are only counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found in one line; `line` counts from 1. `spans` hold the values: show them only if asked."""

    line: int
    spans: tuple[Span, ...]


@dataclass(slots=True)
class ScanReport:
    """`counts`: values by kind; `rows`: lines read; `hits`: lines with findings; `found`: the first SHOWN."""

    counts: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    hits: int = 0
    found: list[Finding] = field(default_factory=list)


def scan(lines: Iterator[str], rule: PrivacyRule) -> ScanReport:
    """Searches line by line; memory does not grow with the file."""
    find = detector(rule).find
    report = ScanReport()
    for number, line in enumerate(lines, start=1):
        report.rows += 1
        if spans := find(line):
            report.hits += 1
            report.counts.update(span.kind for span in spans)
            if len(report.found) < SHOWN:
                report.found.append(Finding(number, tuple(spans)))
    return report
