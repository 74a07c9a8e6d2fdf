"""What two prompts must have in common before one may get the other's answer.

Cosine alone is no judge: "is aspirin safe" and "is aspirin not safe" are at 0.99. So numbers, names,
negations, quotes and code must be the same, and prompts that differ in a single word are different ones:
that word is what they are about. Words are compared as hashes, so that no prompt has to be kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
NUMBER = re.compile(r"[+\-−]?\d+(?:[.,:/\-]\d+)*%?")
QUOTED = re.compile(
    r"```.{1,9000}?```|`[^`\n]{1,900}`|\"[^\"\n]{1,900}\"|“[^”\n]{1,900}”|«[^»\n]{1,900}»"
    r"|(?<!\w)'[^'\n]{1,200}'(?!\w)|\b\w{2,12}://\S{1,900}|\b[\w.+-]{1,64}@[\w.-]{1,200}",
    re.DOTALL,
)
"""Quotes, code, addresses. Counted, so that no long run is tried in every way."""
SIGNS = re.compile(r"[+*/=<>^%$€£#&|\\{}\[\]]")
ENDS = re.compile(r"[.!?:\n]")
POSSESSIVE = re.compile(r"['’]s$")
NAME = re.compile(r"[^\W\d_]*[A-ZÀ-ÖØ-ÞА-ЯΑ-Ω][^\W_]*")
NEGATIONS = _set(
    "not no never none nothing nobody nor neither without cannot except unless"
    " nicht kein keine keinen keinem keiner nie ohne niemals pas jamais sans aucun aucune ne"
    " sin nunca ningún ninguna non senza mai não nie bez niet geen не нет без"
)
NUMERALS = _set(
    "zero one two three four five six seven eight nine ten eleven twelve twenty thirty fifty hundred thousand"
    " million billion half double twice once first second third dozen ein eine zwei drei vier fünf"
)
EMPTY = _set("a an the der die das den dem le la les el los las il lo")
"""Words without which a prompt asks the same."""
ASKING = re.compile(
    r"^(?:(?:hi|hello|hey|please|kindly|ok|so|well)\s+)*"
    r"(?:(?:can|could|would|will)\s+you\s+(?:please\s+)?|i\s+(?:want|would\s+like|need)\s+to\s+know\s+"
    r"|i\s+want\s+you\s+to\s+|do\s+you\s+know\s+)?(?:please\s+)?"
    r"(?:(?:tell\s+me|give\s+me|what(?:\s+is|\s+are|'s)|what’s|whats)\s+)?"
)
"""How a question may begin: `what is`, `can you tell me` and nothing at all are the same."""
REWORDED = (
    (re.compile(r"n['’]t\b"), " not"),
    (re.compile(r"\bcannot\b"), "can not"),
    (re.compile(r"['’](?:s|re|m)\b"), ""),
    (re.compile(r"\bhow\s+(?:(?:do|can|could|should|would)\s+(?:i|you|we|one)|to)\b"), "how"),
    (re.compile(r"\bsingle\b"), "one"),
)
SPELLING = (
    (re.compile(r"is(e[sdr]?|ing|ation)$"), r"iz\1"),
    (re.compile(r"(?<=[^s\W])s$"), ""),
)
AMERICAN = re.compile(r"(?<=\w{3})our\b")
POLITE = frozenset(["please", "kindly"])
FEWEST = 2
"""Words that differ on both sides from which two prompts may be two wordings of one question."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What is compared of a prompt; every text in it is a hash."""

    numbers: tuple[str, ...]
    quotes: tuple[str, ...]
    negations: int
    names: tuple[str, ...]
    words: tuple[str, ...]
    core: tuple[str, ...]

    def packed(self) -> list[Any]:
        """As a value for JSON; `Marks(*packed)` with tuples made of lists gives it back."""
        return [self.numbers, self.quotes, self.negations, self.names, self.words, self.core]

    @classmethod
    def unpacked(cls, value: list[Any]) -> Marks:
        numbers, quotes, negations, names, words, core = value
        return cls(tuple(numbers), tuple(quotes), negations, tuple(names), tuple(words), tuple(core))


def plain(text: str) -> str:
    """The text in small letters, without the ways of asking: what is encoded."""
    return " ".join(_words(text))


def _words(text: str) -> list[str]:
    text = " ".join(WORD.findall(text.lower()))
    asked = ASKING.sub("", f"{text} ")
    for pattern, instead in REWORDED:
        asked = pattern.sub(instead, asked)
    words = [word for word in AMERICAN.sub("or", asked).split() if word not in POLITE]
    return words or text.split()


def marks(text: str, hashed: Callable[[str], str] = str) -> Marks:
    """The marks of a prompt, its words through `hashed`."""
    words = _words(text)
    numerals = [word for word in words if word in NUMERALS]
    core = [_stem(word) for word in words if word not in EMPTY and word not in NEGATIONS]
    quotes = [match[0] for match in QUOTED.finditer(text)] + SIGNS.findall(text)
    return Marks(
        numbers=tuple(hashed(number) for number in sorted([*NUMBER.findall(text), *numerals])),
        quotes=tuple(map(hashed, quotes)),
        negations=sum(word in NEGATIONS for word in words),
        names=tuple(hashed(name) for name in sorted(set(_names(text)))),
        words=tuple(hashed(word) for word in sorted(set(words))),
        core=tuple(map(hashed, core)),
    )


def _names(text: str) -> list[str]:
    """Words with a capital that no sentence begins with, and words such as `iPhone` or `NASA` anywhere."""
    found, end = [], -1
    for match in WORD.finditer(text):
        word = POSSESSIVE.sub("", match[0])
        begins = end < 0 or ENDS.search(text, end, match.start())
        if NAME.fullmatch(word) and (not begins or not word[1:].islower()):
            found.append(word.lower())
        end = match.end()
    return [word for word in found if word not in ("i", "a")]


def _stem(word: str) -> str:
    if len(word) > 3:
        for pattern, instead in SPELLING:
            word = pattern.sub(instead, word)
    return word


def difference(a: Marks, b: Marks) -> str | None:
    """Why the answer to one is none to the other; None: nothing speaks against it."""
    for name in ("numbers", "negations", "quotes"):
        if getattr(a, name) != getattr(b, name):
            return name
    if not (set(a.names) <= set(b.words) and set(b.names) <= set(a.words)):
        return "names"
    if a.core == b.core:
        return None
    ours, theirs = set(a.core) - set(b.core), set(b.core) - set(a.core)
    if not ours and not theirs:
        return "the order of words"
    return "a word" if min(len(ours), len(theirs)) < FEWEST else None
