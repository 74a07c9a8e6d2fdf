"""Does a word look like a secret? By its character classes and its Shannon entropy."""

from __future__ import annotations

import math
import re
from collections import Counter

BITS = 3.0
"""Shannon entropy a character (bits) from which a word of several character classes counts as random."""

_CODE = re.compile(r"[$%{\[(<*&]|.*[({\[]|(?:os|process|config|self|settings|env|vault|secrets?)[.\[:]", re.I)
_PLAIN = re.compile(
    r"(?:[a-z]+|[A-Z]?[a-z]+|[A-Z]+|\d+|[a-z]{1,5}\d{1,4}[a-z]{0,2}|v?\d+(?:\.\d+)*[a-z]{0,2})\Z"
)
_ADDRESS = re.compile(
    r"\w[\w.+-]*@\w[\w-]*\.\w|https?:|file:|env:|cmd:|keyring:|/|~/|\./|[A-Za-z]:\\|<|www\."
)
_DATED = re.compile(r"\d{1,4}([-./:])\d{1,2}\1\d{1,4}")


def entropy(word: str) -> float:
    """Shannon entropy in bits a character (Shannon 1948: −Σ p·log2 p over the word's own characters)."""
    size = len(word)
    return -sum(n / size * math.log2(n / size) for n in Counter(word).values()) if size else 0.0


def is_random(word: str) -> bool:
    """Letters and digits mixed as people do not: keys, hashes, generated passwords of 8 characters on."""
    if not 8 <= len(word) <= 512 or _ADDRESS.match(word) or _CODE.match(word):
        return False
    classes = _classes(word)
    if classes < (3 if len(word) < 16 else 2) or not any(map(str.isdigit, word)):
        return False
    if not any(map(str.isalpha, word)) or _DATED.match(word) or entropy(word) < BITS - (len(word) < 12) * 0.5:
        return False
    return not all(_PLAIN.match(piece) for piece in re.split(r"[-_./:,+=]", word) if piece)


def is_secret_like(word: str, firm: bool) -> bool:
    """The weaker test for a word that stands directly behind its name, as in `password: …`.

    `firm` names (password) take shorter and simpler values than loose ones (key, token).
    """
    if _CODE.match(word) or _ADDRESS.match(word) or len(set(word)) < 4:
        return False
    if is_random(word):
        return True
    letters, digits = any(map(str.isalpha, word)), any(map(str.isdigit, word))
    signs = _classes(word) - letters - digits
    if firm:
        return len(word) >= 6 and (digits or (signs > 0 and not _sentence(word))) and not _DATED.match(word)
    return (
        len(word) >= 12 and letters and digits and not all(map(_PLAIN.match, re.split(r"[-_./:,+=]", word)))
    )


def is_mixed(word: str) -> bool:
    """Letters and digits in more than one run, for a word that follows `password` without any sign."""
    if len(word) < 8 or _CODE.match(word) or _ADDRESS.match(word) or not word.isalnum():
        return False
    letters, digits = any(map(str.isalpha, word)), any(map(str.isdigit, word))
    return letters and digits and not _PLAIN.match(word)


def _sentence(word: str) -> bool:
    """Words with a hyphen, an apostrophe or the like inside are language, not passwords."""
    return bool(re.fullmatch(r"[^\W\d_]+(?:[-_'’./:,]+[^\W\d_]+)*", word))


def _classes(word: str) -> int:
    lower = upper = digit = other = False
    for char in word:
        if char.isdigit():
            digit = True
        elif char.islower():
            lower = True
        elif char.isupper():
            upper = True
        else:
            other = True
    return lower + upper + digit + other
