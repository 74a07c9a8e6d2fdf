"""Instructions that stand twice or against each other. Rules of thumb over English words."""

from __future__ import annotations

import re
from collections.abc import Iterator

SENTENCE = re.compile(r"[^.!?\n]{12,400}")
EDGES = re.compile(r"^[\s>*#\-\d.)]+|[\s:;,]+$")
TOLD = re.compile(
    r"\b(?:must|should|do not|don't|never|always|only|please|you|your|answer|respond|reply|return|write|use"
    r"|give|keep|list|avoid|include|be|make|ensure|output)\b",
    re.IGNORECASE,
)
OPPOSITES: tuple[tuple[str, str, str], ...] = (
    (
        "short and long",
        r"\b(?:be|keep it|answer|reply|respond|write)\b[^.\n]{0,30}\b(?:brief|concise|short|terse)(?:ly)?\b"
        r"|\b(?:give|provide)\b[^.\n]{0,20}\b(?:brief|concise|short) (?:answer|reply|response|explanation)"
        r"|\b(?:answer|reply|respond)\b[^.\n]{0,20}\bin (?:one|a single) (?:word|sentence|line)\b",
        r"\b(?:be|answer|reply|respond|write|explain|describe)\b[^.\n]{0,30}"
        r"\b(?:detailed|verbose|in (?:great |full |much )?detail|at length"
        r"|(?:thorough|comprehensive|exhaustive)(?:ly)?)\b"
        r"|\b(?:give|provide|write)\b[^.\n]{0,20}"
        r"\b(?:detailed|thorough|comprehensive|long) (?:answer|reply|response|explanation|text|essay)",
    ),
    (
        "JSON alone and another format",
        r"\bonly\b[^.\n]{0,20}\bjson\b|\bjson\b[^.\n]{0,20}\b(?:only|and nothing else)\b"
        r"|\b(?:answer|respond|reply|output)\b[^.\n]{0,20}\b(?:in|as|with) (?:valid )?json\b",
        r"\b(?:in|as|use|with)\s(?:a\s)?(?:markdown|prose|plain text|bullet points|bullets|xml|yaml|csv)\b",
    ),
    (
        "reasoning and no reasoning",
        r"\bstep[ -]by[ -]step\b|\bexplain your (?:reasoning|answer)\b|\bshow your work\b",
        r"\b(?:no|without|do not|don't)\b[^.\n]{0,20}\b(?:explanations?|explain|reasoning)\b|\banswer only\b",
    ),
    (
        "upper and lower case",
        r"\b(?:answer|respond|reply|write|only|use|all)\b[^.\n]{0,20}\b(?:upper ?case|capitals)\b",
        r"\b(?:answer|respond|reply|write|only|use|all)\b[^.\n]{0,20}\blower ?case\b",
    ),
    (
        "formal and informal",
        r"(?<!in)\bformal(?:ly)?\b|\bprofessional tone\b",
        r"(?<!avoid )(?<!not )(?<!no )(?<!never )\b(?:informal|casual|colloquial)(?:ly)?\b",
    ),
)
PAIRS = [(name, re.compile(a, re.I), re.compile(b, re.I)) for name, a, b in OPPOSITES]
LANGUAGE = re.compile(
    r"\b(?:answer|respond|reply|write|output)\b[^.\n]{0,20}\bin (english|french|german|spanish|italian|dutch"
    r"|polish|portuguese|russian|ukrainian|chinese|japanese|korean|arabic|turkish|hindi)\b",
    re.IGNORECASE,
)
BOUND = re.compile(
    r"\b(at most|no more than|under|fewer than|less than|maximum of|up to|at least|no fewer than|minimum of"
    r"|more than|exactly)\s(\d{1,6})\s(words?|sentences?|paragraphs?|characters|items?|bullets?|lines?)\b",
    re.IGNORECASE,
)
LOW = frozenset(["at least", "no fewer than", "minimum of", "more than"])
SHORT = re.compile(r"[^.!?\n]{3,400}")
ASKED = ("always", "please", "you must", "you should", "you must always")
WITHOUT = re.compile(
    r"\b(?:no|without|avoid)\s(?:any\s|using\s)?([a-z]+(?:\s[a-z]+)?)(?=[.,;!\n]|\Z)", re.IGNORECASE
)
NEGATED = re.compile(
    r"\b(?:do not|don't|never|avoid|must not|should not)\s((?:[a-z]+\s){0,4}[a-z]+\s?)(?=[.,;!\n]|\Z)",
    re.IGNORECASE,
)


def doubled(text: str) -> Iterator[tuple[str, str]]:
    """(what, where) for every instruction that stands again, word by word."""
    first: dict[str, int] = {}
    told: set[str] = set()
    for number, line in enumerate(text.split("\n"), 1):
        for match in SENTENCE.finditer(line):
            sentence = EDGES.sub("", match[0])
            key = " ".join(sentence.lower().split())
            if key.count(" ") < 3 or not TOLD.search(key):
                continue
            if key in first and key not in told:
                told.add(key)
                where = f"line {number}" if first[key] == number else f"lines {first[key]} and {number}"
                yield f"stands twice: {shortened(sentence)!r}", where
            first.setdefault(key, number)


def contradictions(text: str) -> Iterator[str]:
    """Every pair of instructions that cannot both be followed."""
    for name, one, other in PAIRS:
        a, b = one.search(text), other.search(text)
        if a and b and not (a.start() < b.end() and b.start() < a.end()):
            yield f"asks for {name}: {shortened(a[0])!r} and {shortened(b[0])!r}"
    languages = list(dict.fromkeys(match[1].capitalize() for match in LANGUAGE.finditer(text)))
    if len(languages) > 1:
        yield f"asks for an answer in {' and in '.join(languages)}"
    yield from _bounds(text)
    yield from _negations(text)


def _bounds(text: str) -> Iterator[str]:
    """At least so many of a thing, and at most fewer."""
    lows: dict[str, tuple[int, str]] = {}
    highs: dict[str, tuple[int, str]] = {}
    for match in BOUND.finditer(text):
        how, number, unit = match[1].lower(), int(match[2]), match[3].lower().rstrip("s")
        if how in LOW or how == "exactly":
            lows[unit] = max(lows.get(unit, (number, match[0])), (number, match[0]))
        if how not in LOW:
            highs[unit] = min(highs.get(unit, (number, match[0])), (number, match[0]))
    for unit, (low, said) in lows.items():
        if unit in highs and low > highs[unit][0]:
            yield f"asks for {said!r} and {highs[unit][1]!r}"


def _negations(text: str) -> Iterator[str]:
    """`Include sources.` and `Do not include sources.`, `Use tables.` and `No tables.`"""
    sentences = {" ".join(EDGES.sub("", match[0]).lower().split()) for match in SHORT.finditer(text)}
    for match in NEGATED.finditer(text):
        wanted = " ".join(match[1].lower().split())
        if not sentences.isdisjoint([wanted, *(f"{word} {wanted}" for word in ASKED)]):
            yield f"asks for {shortened(wanted)!r} and forbids it"
    asked = {sentence.removeprefix("always ").removeprefix("please ") for sentence in sentences}
    for match in WITHOUT.finditer(text):
        thing = " ".join(match[1].lower().split())
        if not asked.isdisjoint(f"{verb} {thing}" for verb in ("use", "include", "add")):
            yield f"asks for {shortened(thing)!r} and forbids it"


def shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:59] + "…"
