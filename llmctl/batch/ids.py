"""Whether the ids of a file are unique, in memory that does not grow with the ids.

A Bloom filter (B. H. Bloom, "Space/Time Trade-offs in Hash Coding with Allowable Errors",
Communications of the ACM 13, 1970) finds every id that may have been seen before, and by chance
about one in a thousand others. A second reading looks at those alone, exactly. With m bits, n ids
and k = 2 probes the share of chance hits is (1 - e^(-kn/m))^k: 0.33 % once a filter is full.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from llmctl.core.errors import ConfigError

BITS = 2**25
PER_FILTER = 1_000_000
"""Ids a filter of BITS (4 MiB) takes before the next is begun."""
CROWD = 10_000
"""Suspects that are looked at before reading on: more than chance brings in three million ids."""

Ids = Iterable[tuple[str, int]]
"""(id, line) of every row, in order."""


class Seen:
    """Collects the ids that may stand twice. Feed it every id, a row number used as id included."""

    def __init__(self) -> None:
        self.suspects: set[str] = set()
        self._full: list[bytearray] = []
        self._filter = bytearray(BITS // 8)
        self._count = 0

    def add(self, name: str) -> None:
        """An id that was added before is a suspect from here on."""
        both = hash(name)
        one, two = both & (BITS - 1), (both >> 32) & (BITS - 1)
        one_byte, one_bit = one >> 3, 1 << (one & 7)
        two_byte, two_bit = two >> 3, 1 << (two & 7)
        bits = self._filter
        if bits[one_byte] & one_bit and bits[two_byte] & two_bit:
            self.suspects.add(name)
            return
        for old in self._full:
            if old[one_byte] & one_bit and old[two_byte] & two_bit:
                self.suspects.add(name)
                return
        bits[one_byte] |= one_bit
        bits[two_byte] |= two_bit
        self._count += 1
        if self._count == PER_FILTER:
            self._full.append(bits)
            self._filter = bytearray(BITS // 8)
            self._count = 0


def refuse_doubles(ids: Ids, suspects: Collection[str], name: str) -> None:
    """The exact look at the suspects; ConfigError names an id that stands twice, and both lines."""
    first: dict[str, int] = {}
    for own, line in ids if suspects else ():
        if own not in suspects:
            continue
        if own in first:
            hint = "every row needs an id of its own; rows without one have their number, counted from 0"
            problem = f"{name}:{line}: the id {own[:80]!r} stands twice, first at line {first[own]}"
            raise ConfigError(problem, hint=hint)
        first[own] = line


def check_ids(ids: Callable[[], Ids], name: str) -> None:
    """ConfigError where an id stands twice in `name`; reads once, and once more if any is suspect."""
    seen = Seen()
    crowd = CROWD
    for own, _ in ids():
        seen.add(own)
        if len(seen.suspects) >= crowd:
            refuse_doubles(ids(), seen.suspects, name)
            crowd *= 2
    refuse_doubles(ids(), seen.suspects, name)
