"""What earlier calls of a kind came to: what an estimate expects of the next ones."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from llmctl.pricing.estimate import History
from llmctl.usage.schema import reading

NEWEST = 200_000
"""Calls that are looked back on: a full batch, in a bounded time."""

# What a cache answered, and what failed, says nothing of the next answer.
GROUPED = """
    SELECT asked, profile, tag, template, count(*), sum(output_tokens), sum(input_tokens),
           sum(prompt_chars), sum(cached_tokens)
    FROM (SELECT * FROM calls ORDER BY id DESC LIMIT ?)
    WHERE status = 'ok' AND hit IS NULL
    GROUP BY asked, profile, tag, template
"""
Key = tuple[str | None, ...]


def kinds(model: str, profile: str, tag: str | None, template: str | None) -> list[tuple[str, Key]]:
    """The kinds that such a call is one of, the likest first, each with its key.

    A template says more of an answer than a tag: its text asks for it.
    """
    own = [("the same model and template", ("template", model, template))] if template else []
    return [
        (
            f"the same profile, {'model, tag and template' if template else 'model and tag'}",
            ("all", model, profile, tag, template),
        ),
        *own,
        ("the same profile, model and tag", ("tag", model, profile, tag)),
        ("the same profile and model", ("profile", model, profile)),
        ("the same model", ("model", model)),
    ]


class _Sum(NamedTuple):
    calls: int
    output: int
    input: int
    chars: int
    cached: int

    def plus(self, other: _Sum) -> _Sum:
        return _Sum(
            self.calls + other.calls,
            self.output + other.output,
            self.input + other.input,
            self.chars + other.chars,
            self.cached + other.cached,
        )

    def history(self, of: str) -> History:
        return History(
            calls=self.calls,
            output_tokens=self.output / self.calls,
            per_char=self.input / self.chars if self.chars and self.input else None,
            cached=self.cached / self.input if self.input else 0.0,
            of=of,
        )


class Histories:
    """The ledger's answered calls by kind, read once when first asked for.

    StorageError then, where the ledger cannot be read.
    """

    def __init__(self, db_path: Path) -> None:
        self._path = db_path

    def find(self, model: str, profile: str, tag: str | None, template: str | None = None) -> History | None:
        """Of the likest calls that there are: of the template, under the profile and tag, of the model."""
        for of, key in kinds(model, profile, tag, template):
            if key in self._sums:
                return self._sums[key].history(of)
        return None

    @cached_property
    def _sums(self) -> dict[Key, _Sum]:
        found: dict[Key, _Sum] = {}
        if not self._path.exists():
            return found
        with reading(self._path) as db:
            for model, profile, tag, template, *sums in db.execute(GROUPED, (NEWEST,)):
                each = _Sum(*sums)
                for _, key in kinds(model, profile, tag, template):
                    found[key] = found[key].plus(each) if key in found else each
        return found
