"""What two prompts must have in common before one may get the other's answer.

Cosine alone is no judge: "is aspirin safe" and "is aspirin not safe" are at 0.99. So numbers, names,
negations, quotes, code and every sign that is no mere punctuation must be the same, and prompts that differ
in a single word are different ones: that word is what they are about. Words are compared as hashes, so
that no prompt has to be kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from unicodedata import category, normalize


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
"""Without the signs of vowels and tones that many scripts write above or below: see `_word`."""
NUMBER = re.compile(r"[+\-−]?\d+(?:[.,:/\-]\d+)*%?")
QUOTED = re.compile(
    r"```.{1,9000}?```|`[^`\n]{1,900}`|\"[^\"\n]{1,900}\"|“[^”\n]{1,900}”|«[^»\n]{1,900}»"
    r"|(?<!\w)'[^'\n]{1,200}'(?!\w)|\b\w{2,12}://\S{1,900}|\b[\w.+-]{1,64}@[\w.-]{1,200}",
    re.DOTALL,
)
"""Quotes, code, addresses. Counted, so that no long run is tried in every way."""
DRESS = r".,;:!?'\"’‘“”„«»‹›…–—\-¿¡。，、？！：；・「」『』《》〈〉।॥·؟،؛"
"""Punctuation without which a prompt asks the same, where it stands as usual."""
UNSEEN = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufe0e\ufe0f\ufeff"
SIGNS = re.compile(
    r"(?<!\S)(?![-–—]+(?!\S)|\?\s*\Z)[^\w\s]++(?!\S)"  # alone; French has a space before its question mark
    rf"|[^\w\s{DRESS}{UNSEEN}]|_"
    r"|(?<=\d)[!'\"’”]|[!?](?=\w)|(?<![\w.])\.(?=\w)|(?<!\S)-+(?=[^\W\d_])"  # 5! 5" !x .env -l
)
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
CAPITALS = 3
"""Letters up to which a word all in capitals is often another one: `US`, `IT`, `WHO`."""
HOMOGRAPHS = _set("AIDS CARE FAST MASS NICE RAND SAFE SWAT")
FEWEST = 2
"""Words that differ on both sides from which two prompts may be two wordings of one question."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What is compared of a prompt; every text in it is a hash."""

    numbers: tuple[str, ...]
    quotes: tuple[str, ...]
    negations: tuple[str, ...]
    """Each with the word that it stands before."""
    names: tuple[str, ...]
    capitals: tuple[str, ...]
    words: tuple[str, ...]
    core: tuple[str, ...]

    def packed(self) -> list[Any]:
        """As a value for JSON; `Marks(*packed)` with tuples made of lists gives it back."""
        return [getattr(self, name) for name in self.__slots__]

    @classmethod
    def unpacked(cls, value: list[Any]) -> Marks:
        return cls(*map(tuple, value))


def plain(text: str) -> str:
    """The text in small letters, without the ways of asking: what is encoded."""
    return " ".join(_words(text))


def _words(text: str) -> list[str]:
    text = text.lower()
    text = " ".join(_word(text).findall(text))
    asked = ASKING.sub("", f"{text} ")
    for pattern, instead in REWORDED:
        asked = pattern.sub(instead, asked)
    words = [word for word in AMERICAN.sub("or", asked).split() if word not in POLITE]
    return words or text.split()


def marks(text: str, hashed: Callable[[str], str] = str) -> Marks:
    """The marks of a prompt, its words through `hashed`."""
    text = normalize("NFC", text)
    words = _words(text)
    numerals = [word for word in words if word in NUMERALS]
    core = [word if word in NEGATIONS else _stem(word) for word in words if word not in EMPTY]
    quotes = [match[0] for match in QUOTED.finditer(text)] + _signs(text)
    return Marks(
        numbers=tuple(hashed(number) for number in sorted([*NUMBER.findall(text), *numerals])),
        quotes=tuple(map(hashed, quotes)),
        negations=tuple(
            hashed(f"{word} {after}")
            for word, after in zip(core, [*core[1:], ""], strict=False)
            if word in NEGATIONS
        ),
        names=tuple(hashed(name) for name in sorted(set(_names(text)))),
        capitals=tuple(hashed(word) for word in sorted(set(_capitals(text)))),
        words=tuple(hashed(word) for word in sorted(set(words))),
        core=tuple(map(hashed, core)),
    )


def _word(text: str) -> re.Pattern[str]:
    """What a word is in the text, with the signs that its script writes above or below the letters."""
    if text.isascii():
        return WORD
    return _word_with("".join(sorted(sign for sign in set(text) - set(UNSEEN) if _combines(sign))))


@lru_cache(64)
def _word_with(signs: str) -> re.Pattern[str]:
    letter = rf"(?:[^\W_]++[{signs}]*+)"
    return re.compile(rf"{letter}+(?:['’]{letter}+)*") if signs else WORD


def _combines(sign: str) -> bool:
    return category(sign)[0] == "M"


def _signs(text: str) -> list[str]:
    """All that is neither word nor mere punctuation, in its order, as one."""
    found = " ".join(sign for sign in SIGNS.findall(text) if not _combines(sign[0]))
    return [found] if found else []


def _capitals(text: str) -> list[str]:
    """Words all in capitals that may be others than in small letters."""
    found = (word for word in WORD.findall(text) if word.isalpha() and word.isupper())
    return [word for word in found if 1 < len(word) <= CAPITALS or word in HOMOGRAPHS]


def _names(text: str) -> list[str]:
    """Words with a capital that no sentence begins with, and words such as `iPhone` or `NASA` anywhere."""
    found, end = [], -1
    for match in _word(text).finditer(text):
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
    if a.capitals != b.capitals or not (set(a.names) <= set(b.words) and set(b.names) <= set(a.words)):
        return "names"
    if a.core == b.core:
        return None
    ours, theirs = set(a.core) - set(b.core), set(b.core) - set(a.core)
    if not ours and not theirs:
        return "the order of words"
    return "a word" if min(len(ours), len(theirs)) < FEWEST else None
