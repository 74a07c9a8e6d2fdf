"""tiktoken's encodings out of the files that litellm's package carries: no network, no litellm.

Each is loaded once per process, at first use (0.2 s for o200k_base).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from llmctl.core.errors import ConfigError

if TYPE_CHECKING:
    import tiktoken

LONG = 100_000
"""Characters that are tokenized at once. tiktoken's patterns overflow on some runs of a million."""

CUT = re.compile(r"(?<=\S) (?=[^\W\d_])")
"""A single space between a sign and a letter: every encoding begins a piece there."""


PATCHED = threading.Lock()
"""Held while tiktoken reads its vocabularies through us."""


class Tokenizer(NamedTuple):
    """Which encoding counts a model, times what, and whether that is the model's own."""

    encoding: str
    factor: float = 1.0
    own: bool = False

    @property
    def name(self) -> str:
        """For people: `o200k_base`, or `o200k_base × 1.20` for a stand-in."""
        return self.encoding if self.factor == 1 else f"{self.encoding} × {self.factor:.2f}"


STAND_INS = (
    # Published comparisons with GPT-4o: 16 % more tokens on English prose, 21 % on maths, 30 % on Python.
    ("claude", Tokenizer("o200k_base", 1.2)),
    # Llama 3's vocabulary is cl100k's with 28,000 tokens for other languages added.
    ("llama-3", Tokenizer("cl100k_base")),
    ("llama3", Tokenizer("cl100k_base")),
    ("llama-4", Tokenizer("o200k_base")),
    # Measured on code, prose and JSON in English with the vocabularies that the makers distribute:
    # Tekken 1.055 to 1.061, the older SentencePiece one 1.25 to 1.31, Qwen's 1.00 to 1.02.
    ("mixtral", Tokenizer("o200k_base", 1.28)),
    ("mistral-7b", Tokenizer("o200k_base", 1.28)),
    ("mistral", Tokenizer("o200k_base", 1.06)),
    ("ministral", Tokenizer("o200k_base", 1.06)),
    ("magistral", Tokenizer("o200k_base", 1.06)),
    ("codestral", Tokenizer("o200k_base", 1.06)),
    ("devstral", Tokenizer("o200k_base", 1.06)),
    ("pixtral", Tokenizer("o200k_base", 1.06)),
    ("qwen", Tokenizer("o200k_base", 1.02)),
    # Both as large as o200k (256,000 tokens), and said to take four characters of English a token.
    ("gemini", Tokenizer("o200k_base")),
    ("gemma", Tokenizer("o200k_base")),
    # The maker's rule of 0.3 tokens a character of English is more than o200k takes.
    ("deepseek", Tokenizer("o200k_base", 1.1)),
    ("gpt-", Tokenizer("o200k_base")),
)
UNKNOWN = Tokenizer("o200k_base", 1.1)


@cache
def tokenizer_of(model: str) -> Tokenizer:
    """The tokenizer that counts `provider/model`: its own where tiktoken knows it, else the nearest."""
    from tiktoken.model import encoding_name_for_model

    name = model.rpartition("/")[2].lower()
    try:
        known = encoding_name_for_model(name)
    except KeyError:
        return next((stand_in for word, stand_in in STAND_INS if word in name), UNKNOWN)
    # Harmony's special tokens differ, its texts are o200k's.
    return Tokenizer("o200k_base" if known == "o200k_harmony" else known, own=True)


@cache
def counter(encoding: str) -> Callable[[str], int]:
    """A function that counts a text's tokens. ConfigError where the encoding is not at hand."""
    encode = load(encoding).encode_ordinary

    def count(text: str) -> int:
        if len(text) <= LONG:
            return len(encode(text))
        return sum(len(encode(piece)) for piece in pieces(text))

    return count


def pieces(text: str) -> list[str]:
    """A long text in parts of at most `LONG` characters, cut where no token is cut if there is a place."""
    found: list[str] = []
    start = 0
    while len(text) - start > LONG:
        end = start + LONG
        spaces = [match.start() for match in CUT.finditer(text, end - 1000, end + 1) if match.start() <= end]
        cut = spaces[-1] if spaces else end
        found.append(text[start:cut])
        start = cut
    found.append(text[start:])
    return found


def load(encoding: str) -> tiktoken.Encoding:
    """The encoding, with its vocabulary read by us: tiktoken would fetch what it misses."""
    import tiktoken

    openai_public: Any = import_module("tiktoken_ext.openai_public")
    constructor = openai_public.ENCODING_CONSTRUCTORS.get(encoding)
    if constructor is None:
        raise ConfigError(f"there is no encoding {encoding!r}")
    with PATCHED:
        theirs = openai_public.load_tiktoken_bpe
        openai_public.load_tiktoken_bpe = _ranks
        try:
            return tiktoken.Encoding(**constructor())
        finally:
            openai_public.load_tiktoken_bpe = theirs


def _ranks(url: str, expected_hash: str | None = None) -> dict[bytes, int]:
    """A vocabulary by the address it is published at: lines of a token in base64 and its rank."""
    import hashlib
    from binascii import a2b_base64

    path = _folder() / hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()
    try:
        body = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"litellm carries no vocabulary of {url.rpartition('/')[2]}") from error
    if expected_hash and hashlib.sha256(body).hexdigest() != expected_hash:
        raise ConfigError(f"the tokenizer file {path} is damaged", hint="install litellm again")
    words = body.split()
    return dict(zip(map(a2b_base64, words[::2]), map(int, words[1::2]), strict=True))


def _folder() -> Path:
    from llmctl.pricing.book import shipped

    return shipped().parent / "litellm_core_utils" / "tokenizers"
