"""Few-shot examples: read from a file, chosen, fitted to a token limit, joined to a prompt."""

from __future__ import annotations

import csv
import heapq
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmctl.core.canonical import canonical, digest
from llmctl.core.errors import ConfigError, UsageError
from llmctl.core.model import Message
from llmctl.prompts.model import ExamplesRule

MAX_BYTES = 50_000_000
TURN_TOKENS = 8
"""What the frame of two chat turns costs besides their texts, in every common format about this."""
WORD = re.compile(r"[^\W_]+")
UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\u0e00-\u0e7f]")
HOW = re.compile(r"(?:(first|random|nearest):)?(\d{1,6})|all")

Count = Callable[[str], int]
Similarity = Callable[[Sequence[str]], Callable[[str], Sequence[float]]]
"""Given all inputs once, a function that scores a question against each of them; higher is nearer."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """What makes two texts near each other; `by` is its name for people: `shared words`, `meaning`."""

    by: str
    similarity: Similarity


@dataclass(frozen=True, slots=True)
class Example:
    input: str
    output: str


def load(path: Path) -> list[Example]:
    """The examples of a file with `input` and `output`: JSONL, one JSON list, CSV or TSV.

    ConfigError names the line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", hint="check the path") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8", hint="save the file as UTF-8") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES:,} bytes", hint="keep the best examples only")
    rows = _csv(text, path) if path.suffix.lower() in (".csv", ".tsv") else _jsonl(text, path)
    examples = [example(row, f"{path}:{line}") for line, row in rows]
    if not examples:
        raise ConfigError(f"{path}: holds no examples", hint='write {"input": …, "output": …} lines')
    return examples


def _jsonl(text: str, path: Path) -> Iterable[tuple[int, Any]]:
    import orjson

    if text.lstrip().startswith("["):
        yield from enumerate(_list(text, path), 1)  # items by their number, as JSON has no lines
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise ConfigError(f"{path}:{number}: not JSON: {error}", hint="one object a line") from None


def _list(text: str, path: Path) -> list[Any]:
    import orjson

    try:
        rows: list[Any] = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path}: not JSON: {error}", hint="a list of objects, or one a line") from None
    return rows


def _csv(text: str, path: Path) -> Iterable[tuple[int, Any]]:
    csv.field_size_limit(max(csv.field_size_limit(), MAX_BYTES))
    tabs = path.suffix.lower() == ".tsv"
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if tabs else ",")
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise ConfigError(f"{path}:{reader.line_num}: {error}", hint="quote cells that hold quotes") from None


def example(row: Any, place: str) -> Example:
    """A row as an example; values that are no texts are written as JSON."""
    if not isinstance(row, Mapping) or row.get("input") is None or row.get("output") is None:
        raise ConfigError(f"{place}: input and output are wanted", hint='{"input": …, "output": …}')
    return Example(_text(row["input"]), _text(row["output"]))


def _text(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class Chooser:
    """Examples, the way to choose among them, and the limit that they must keep.

    `how` is `all`, `N`, `first:N`, `random:N` (one draw by `seed` for the whole run) or `nearest:N`
    (by `likeness`, the likest last, next to the question). UsageError for anything else.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        how: str = "all",
        *,
        seed: int = 0,
        likeness: Likeness | None = None,
        count: Count | None = None,
        limit: int | None = None,
    ) -> None:
        match = HOW.fullmatch(how)
        if not match:
            raise UsageError(f"{how!r} is no choice of examples: write all, first:N, random:N or nearest:N")
        self.examples = list(examples)
        self.number = int(match[2]) if match[2] else len(self.examples)
        self.nearest = match[1] == "nearest"
        self.limit = limit
        self._count = count
        self._tokens: dict[int, int] = {}
        order = range(len(self.examples))
        if match[1] == "random":
            from random import Random

            order = Random(seed).sample(order, len(order))  # type: ignore[assignment]  # noqa: S311  # no secret
        self._fixed = list(order)[: self.number]
        likeness = likeness or Likeness("shared words", by_words)
        self.by = likeness.by if self.nearest else None
        self._scores = likeness.similarity([e.input for e in self.examples]) if self.nearest else None

    @property
    def told(self) -> tuple[object, ...]:
        """All that decides which examples are chosen, the same in every process."""
        rows = [[each.input, each.output] for each in self.examples]
        return digest(canonical(rows)), self._fixed, self.by, self.limit

    def choose(self, question: str = "", limit: int | None = None) -> list[Example]:
        """The examples for a question, in the order to send. One that is the question itself is left out.

        `limit` in tokens, in the place of the chooser's own.
        """
        best = self._nearest(question) if self.nearest else self._fixed
        kept = self._fitting(best, self.limit if limit is None else limit)
        return [self.examples[n] for n in (reversed(kept) if self.nearest else kept)]

    def _nearest(self, question: str) -> list[int]:
        assert self._scores is not None
        scores = self._scores(question)
        order = heapq.nlargest(self.number + 8, range(len(scores)), key=scores.__getitem__)
        same = question.strip()
        return [n for n in order if self.examples[n].input.strip() != same][: self.number]

    def _fitting(self, best: list[int], limit: int | None) -> list[int]:
        """As many of the best as the limit holds."""
        if limit is None or self._count is None:
            return best
        left = limit
        for position, number in enumerate(best):
            left -= self._cost(number)
            if left < 0:
                return best[:position]
        return best

    def _cost(self, number: int) -> int:
        assert self._count is not None
        if number not in self._tokens:
            chosen = self.examples[number]
            self._tokens[number] = self._count(chosen.input) + self._count(chosen.output) + TURN_TOKENS
        return self._tokens[number]


def from_rule(rule: ExamplesRule) -> list[Example]:
    """The examples that a template brings."""
    if rule.file is not None:
        return load(rule.file)
    return [example(row, f"examples[{number}]") for number, row in enumerate(rule.rows)]


def words(text: str) -> set[str]:
    """Lower-case words; scripts without spaces give pairs of characters."""
    found: set[str] = set()
    for word in WORD.findall(text.lower()):
        if UNSPACED.search(word):
            found.update(word[n : n + 2] for n in range(max(len(word) - 1, 1)))
        else:
            found.add(word)
    return found


def by_words(inputs: Sequence[str]) -> Callable[[str], list[float]]:
    """Similarity by shared words, rare ones counting more.

    Cosine over words weighted by inverse document frequency (Spärck Jones 1972), through an inverted
    index: a question costs only the examples that share a word with it.
    """
    bags = [words(text) for text in inputs]
    frequency = Counter(word for bag in bags for word in bag)
    weight = {word: math.log(1 + len(bags) / n) ** 2 for word, n in frequency.items()}
    norms = [math.sqrt(sum(weight[word] for word in bag)) or 1.0 for bag in bags]
    index: dict[str, list[int]] = {}
    for number, bag in enumerate(bags):
        for word in bag:
            index.setdefault(word, []).append(number)

    def scores(question: str) -> list[float]:
        found = [0.0] * len(bags)
        for word in words(question):
            for number in index.get(word, ()):
                found[number] += weight[word] / norms[number]
        return found

    return scores


def as_turns(examples: Iterable[Example]) -> list[Message]:
    """A user and an assistant turn each."""
    turns: list[Message] = []
    for shown in examples:
        turns += [
            {"role": "user", "content": shown.input},
            {"role": "assistant", "content": shown.output},
        ]
    return turns


def as_text(examples: Iterable[Example]) -> str:
    """All examples as one text."""
    return "Examples:\n\n" + "\n\n".join(f"Input: {e.input}\nOutput: {e.output}" for e in examples)


def join(
    messages: Sequence[Message], examples: Sequence[Example], inside: bool = False
) -> tuple[Message, ...]:
    """The messages with the examples: as turns behind the system text, or inside it."""
    if not examples:
        return tuple(messages)
    first = next((n for n, m in enumerate(messages) if m.get("role") != "system"), len(messages))
    if not inside:
        return (*messages[:first], *as_turns(examples), *messages[first:])
    told = [m["content"] for m in messages[:first] if isinstance(m.get("content"), str)]
    system: Message = {"role": "system", "content": "\n\n".join([*told, as_text(examples)])}
    return (system, *messages[first:])
