"""Finds stored prompts that ask nearly the same: first by their vectors, then by the guard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from llmctl.meaning.guard import Marks, difference, marks, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 20_000
"""Prompts of one scope that are looked through, the newest ones: two milliseconds for each search."""
TRIED = 200
"""Of those that are near enough, how many the guard looks at."""


class Index(Protocol):
    """Where the vectors are kept between processes."""

    def hashed(self, text: str) -> str:
        """A word as it may be kept."""
        ...

    def of(self, scope: str, most: int) -> Sequence[tuple[str, list[Any], bytes]]:
        """(key, marks, vector) of the prompts in a scope that have not expired."""
        ...

    def add(self, key: str, scope: str, marks: list[Any], vector: bytes) -> None: ...

    def forget(self, key: str) -> None: ...


class Encoder(Protocol):
    def vectors(self, texts: Sequence[str]) -> NDArray[Any]: ...


class Question:
    """One prompt within its scope: all that must be the same besides. Encoded when it is first needed."""

    def __init__(self, near: Near, scope: str, text: str) -> None:
        self.scope = scope
        self._near = near
        self._text = text

    @cached_property
    def vector(self) -> NDArray[Any]:
        found: NDArray[Any] = self._near.encoder.vectors([plain(self._text)])[0]
        return found

    def encode(self) -> None:
        """Works the vector out; from any thread."""
        _ = self.vector

    @cached_property
    def marks(self) -> Marks:
        return marks(self._text, self._near.index.hashed)


class Near:
    """The prompts that this process knows of, by scope; `threshold` is the least cosine."""

    def __init__(self, encoder: Encoder, index: Index, threshold: float) -> None:
        self.encoder = encoder
        self.index = index
        self.threshold = threshold
        self._scopes: dict[str, Scope] = {}

    def question(self, scope: str, text: str) -> Question:
        return Question(self, scope, text)

    def knows(self, question: Question) -> bool:
        """Whether there is anything in the question's scope: else it need not be encoded to be compared."""
        return bool(self._scope(question.scope).keys)

    def find(self, question: Question) -> Iterator[tuple[str, float]]:
        """(key, cosine) of the stored prompts whose answer will do, the nearest first."""
        for key, cosine, why in self.compare(question):
            if why is None and cosine >= self.threshold:
                yield key, cosine

    def compare(self, question: Question) -> Iterator[tuple[str, float, str | None]]:
        """(key, cosine, what speaks against it) of the nearest stored prompts, the nearest first."""
        scope = self._scope(question.scope)
        if not scope.keys:
            return
        cosines = scope.vectors[: len(scope.keys)] @ question.vector
        for place in cosines.argsort()[::-1][:TRIED].tolist():
            if scope.keys[place]:
                yield scope.keys[place], float(cosines[place]), difference(question.marks, scope.marks[place])

    def add(self, question: Question, key: str) -> None:
        """An answer to the question is stored under that key."""
        self._scope(question.scope).add(key, question.marks, question.vector)
        self.index.add(key, question.scope, question.marks.packed(), question.vector.tobytes())

    def forget(self, question: Question, key: str) -> None:
        """There is no answer under that key any more."""
        self._scope(question.scope).remove(key)
        self.index.forget(key)

    def _scope(self, name: str) -> Scope:
        if name not in self._scopes:
            scope = self._scopes[name] = Scope()
            import numpy

            for key, packed, vector in self.index.of(name, MOST):
                scope.add(key, Marks.unpacked(packed), numpy.frombuffer(vector, numpy.float32))
        return self._scopes[name]


class Scope:
    """Vectors as the rows of one matrix that doubles as it grows."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.marks: list[Marks] = []
        self.vectors: NDArray[Any]

    def add(self, key: str, marks: Marks, vector: NDArray[Any]) -> None:
        import numpy

        count = len(self.keys)
        if count == 0:
            self.vectors = numpy.empty((16, len(vector)), numpy.float32)
        elif count == len(self.vectors):
            self.vectors = numpy.concatenate([self.vectors, numpy.empty_like(self.vectors)])
        self.vectors[count] = vector
        self.keys.append(key)
        self.marks.append(marks)

    def remove(self, key: str) -> None:
        if key in self.keys:
            self.keys[self.keys.index(key)] = ""
