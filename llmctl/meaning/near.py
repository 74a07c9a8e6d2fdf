"""Finds stored prompts that ask nearly the same: first by their vectors, then by the guard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from llmctl.meaning.guard import Marks, difference, marks, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 20_000
"""Prompts of one scope that are looked through, the newest ones: two milliseconds for each search."""
HELD = 60_000
"""Prompts of all scopes together that are held in memory, about 200 MB."""
SCOPES = 1_000
"""Scopes that are held: those used last. The others are read from the index again when they are asked for."""
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
        """Works the vector out; from any thread. It never fails: without a vector nothing is near."""
        try:
            _ = self.vector
        except Exception as error:  # noqa: BLE001  # no memory, a broken file: an answer is worth more
            self._near.failed = error

    @cached_property
    def marks(self) -> Marks:
        return marks(self._text, self._near.index.hashed)


class Near:
    """The prompts that this process knows of, by scope; `threshold` is the least cosine.

    What goes wrong with vectors, whatever it is, becomes one warning; then nothing is near.
    """

    def __init__(
        self,
        encoder: Encoder,
        index: Index,
        threshold: float,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.encoder = encoder
        self.index = index
        self.threshold = threshold
        self.failed: Exception | None = None
        self._warn = warn
        self._warned = False
        self._held = 0
        self._scopes: dict[str, Scope] = {}
        """By name, the one used last at the end."""

    def question(self, scope: str, text: str) -> Question:
        return Question(self, scope, text)

    def knows(self, question: Question) -> bool:
        """Whether there is anything in the question's scope: else it need not be encoded to be compared."""
        return self._well() and bool(self._scope(question.scope).keys)

    def find(self, question: Question) -> Iterator[tuple[str, float]]:
        """(key, cosine) of the stored prompts whose answer will do, the nearest first."""
        if not self._well():
            return
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
        if not self._well():
            return
        try:
            scope = self._scope(question.scope)
            self._held += scope.add(key, question.marks, question.vector)
            self.index.add(key, question.scope, question.marks.packed(), question.vector.tobytes())
        except Exception as error:  # noqa: BLE001  # the answer is there, and paid for
            self.failed = error
            self._well()
        self._thin()

    def forget(self, question: Question, key: str) -> None:
        """There is no answer under that key any more."""
        self._scope(question.scope).remove(key)
        self.index.forget(key)

    def _scope(self, name: str) -> Scope:
        scope = self._scopes.pop(name, None)
        if scope is None:
            scope = Scope()
            import numpy

            for key, packed, vector in self.index.of(name, MOST):
                self._held += scope.add(key, Marks.unpacked(packed), numpy.frombuffer(vector, numpy.float32))
        self._scopes[name] = scope
        self._thin()
        return scope

    def _thin(self) -> None:
        """Forgets the scopes that were not used for longest, where too much is held."""
        while len(self._scopes) > 1 and (self._held > HELD or len(self._scopes) > SCOPES):
            self._held -= len(self._scopes.pop(next(iter(self._scopes))).keys)

    def _well(self) -> bool:
        """Whether vectors can be had; told in the loop's own thread where not."""
        if self.failed is not None and not self._warned:
            self._warned = True
            why = f"{type(self.failed).__name__}: {self.failed}"
            self._warn(f"cache.semantic: {why}; going on without answers to nearly equal prompts")
        return self.failed is None


class Scope:
    """Vectors as the rows of one matrix that doubles as it grows, up to MOST; then the oldest gives way."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.marks: list[Marks] = []
        self.vectors: NDArray[Any]
        self._oldest = 0

    def add(self, key: str, marks: Marks, vector: NDArray[Any]) -> bool:
        """Whether there is one more now."""
        import numpy

        count = len(self.keys)
        if count >= MOST:
            place, self._oldest = self._oldest, (self._oldest + 1) % MOST
            self.keys[place], self.marks[place], self.vectors[place] = key, marks, vector
            return False
        if count == 0:
            self.vectors = numpy.empty((2, len(vector)), numpy.float32)
        elif count == len(self.vectors):
            more = numpy.empty_like(self.vectors[: MOST - count])
            self.vectors = numpy.concatenate([self.vectors, more])
        self.vectors[count] = vector
        self.keys.append(key)
        self.marks.append(marks)
        return True

    def remove(self, key: str) -> None:
        if key in self.keys:
            self.keys[self.keys.index(key)] = ""
