"""The labelled samples: made-up values that are structurally valid, and things that only look like them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from llmctl.core.profile import PRIVACY_KINDS, PrivacyRule
from llmctl.privacy.detect import find

FILE = Path(__file__).with_name("samples.jsonl")
UNSEEN = Path(__file__).with_name("unseen.jsonl")
"""Written without a look at the detectors, and nothing is to be tuned by them: they say how honest the
figures of the others are."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One text with what is to be found in it, as (kind, value)."""

    lang: str
    region: str
    text: str
    spans: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Score:
    """Values found rightly, found wrongly, and missed, of one kind."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0


def load(file: Path = FILE) -> list[Sample]:
    """All samples of a file. Keys are kept cut by `|`, so that scanners of repositories stay quiet."""
    samples = []
    for line in file.read_text("utf-8").splitlines():
        row = json.loads(line)
        if row.get("join"):
            row["text"] = row["text"].replace("|", "")
            row["spans"] = [(kind, value.replace("|", "")) for kind, value in row["spans"]]
        spans = tuple((kind, value) for kind, value in row["spans"])
        samples.append(Sample(row["lang"], row["region"], row["text"], spans))
    return samples


def scores(samples: list[Sample]) -> dict[str, Score]:
    """Every kind's score with all detectors on; a value counts only if it is found exactly."""
    result = {kind: Score() for kind in PRIVACY_KINDS}
    for sample in samples:
        found = Counter((span.kind, span.value) for span in find(sample.text, rule(sample)))
        wanted = Counter(sample.spans)
        for (kind, _), count in (found & wanted).items():
            result[kind].right += count
        for (kind, _), count in (found - wanted).items():
            result[kind].wrong += count
        for (kind, _), count in (wanted - found).items():
            result[kind].missed += count
    return result


def rule(sample: Sample) -> PrivacyRule:
    return PrivacyRule(redact=PRIVACY_KINDS, region=sample.region)
