"""Tells quickly what a cache surely does not hold, so that it need not be looked into."""

from __future__ import annotations

from collections.abc import Iterable

BITS = 2**23
MOST = 50_000
"""Entries up to which reading all their names takes less time than it spares."""


class Sieve:
    """A Bloom filter with one probe (B. H. Bloom, Communications of the ACM 13, 1970): 1 MiB.

    Of names that were not added, as many are taken for added as there are names per bit: an eighth at
    a million. `version` is what the database said of its state when the names were read.
    """

    def __init__(self, names: Iterable[str], version: int) -> None:
        self.version = version
        self._bits = bytearray(BITS // 8)
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        place = hash(name) & (BITS - 1)
        self._bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, name: str) -> bool:
        place = hash(name) & (BITS - 1)
        return bool(self._bits[place >> 3] & (1 << (place & 7)))
