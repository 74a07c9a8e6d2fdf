"""How complex a task is, judged from its prompt by fixed rules, without a model or a network.

A prompt starts with 1 point and gets

- 2 for a word that asks for reasoning or construction (prove, design, debug, trade-off, …);
- 1 for code in it (a fence, or three lines that look like code), 1 for formulas;
- 1 from 2,000 characters on, 1 more from 12,000;
- 1 for three or more things asked (questions, or items of a list);
- −1 for a word that asks for a mechanical task (classify, extract, translate, …);
- −1 below 200 characters, unless it asks to write, to explain or to reason.

0 or less is simple, 1 or 2 normal, 3 or more complex. The words are looked for where instructions
stand, in the first 1,500 and the last 500 characters, so that a pasted text does not decide. They
are English; a prompt in another language is judged by its form alone.
"""

from __future__ import annotations

import re
from typing import Literal

Complexity = Literal["simple", "normal", "complex"]
LEVELS: tuple[Complexity, ...] = ("simple", "normal", "complex")

HEAD, TAIL = 1500, 500
SHORT, LONG, VERY_LONG = 200, 2000, 12_000
MANY = 3


def _words(*stems: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(stems)})\b", re.IGNORECASE)


HARD = _words(
    r"prov(?:e|ing)(?: that)?", r"proofs?", "derive", r"deriv(?:ing|ation)", "design", "architect(?:ure)?",
    "implement(?:ation)?", "refactor(?:ing)?", "debug(?:ging)?", r"root[- ]causes?", "optimi[sz]e",
    "algorithms?", r"trade-?offs?", "step[- ]by[- ]step", "strateg(?:y|ies)", "diagnos(?:e|is)",
    "reason about", "solve", "evaluate", "critique", "review this code", "multi-step", "in[- ]depth",
    "hypothes(?:is|es)",
)  # fmt: skip
WORK = _words(
    "write", "draft", "compose", "rewrite", "explain", "compare", "describe", "analy[sz]e", "summari[sz]e",
    "summary", "function", "script", "sql", "query", "essay", "report", "plan", "suggest", "recommend",
)  # fmt: skip
MECHANICAL = _words(
    "classify", "categori[sz]e", "label", "tag", "extract", "translate", "sentiment", "spell(?:ing)?",
    "proofread", "yes or no", "true or false", "capitali[sz]e", "lower ?case", "upper ?case", "count",
    "detect the language", "convert", "reformat", "deduplicate", "fix the grammar", "one word", "keywords?",
)  # fmt: skip

FENCE = re.compile(r"^\s*(?:```|~~~)", re.MULTILINE)
CODE_LINE = re.compile(
    r"^\s*(?:def |class |import |from \w+ import |#include|function |const |let |var |public |"
    r"SELECT |return\b|(?:if|for|while)\b.*[:{]\s*$|.*[;{}]\s*$)",
    re.MULTILINE,
)
FORMULA = re.compile(r"\$\$|\\(?:frac|sum|int|begin\{|forall|exists|sqrt)|[∑∫∀∃√∂∇]")
ITEM = re.compile(r"^\s*(?:\d{1,2}[.)]|[-*•])\s+\S", re.MULTILINE)
QUESTION = re.compile(r"[?？؟](?:\s|$)")


def complexity(prompt: str) -> Complexity:
    """`simple`, `normal` or `complex` by the rules above."""
    points = points_of(prompt)
    return "simple" if points <= 0 else "normal" if points <= 2 else "complex"


def points_of(prompt: str) -> int:
    """The sum of the rules' points."""
    told = prompt if len(prompt) <= HEAD + TAIL else f"{prompt[:HEAD]}\n{prompt[-TAIL:]}"
    hard, work = HARD.search(told) is not None, WORK.search(told) is not None
    has_code = FENCE.search(told) is not None or _many(CODE_LINE, told)
    return (
        1
        + 2 * hard
        + has_code
        + (FORMULA.search(told) is not None)
        + (len(prompt) >= LONG)
        + (len(prompt) >= VERY_LONG)
        + (_many(ITEM, told) or _many(QUESTION, told))
        - (MECHANICAL.search(told) is not None)
        - (len(prompt) < SHORT and not hard and not work)
    )


def _many(pattern: re.Pattern[str], text: str) -> bool:
    return sum(1 for _ in pattern.finditer(text)) >= MANY
