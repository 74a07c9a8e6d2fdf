"""The few largest of many values, with the numbers of the calls that had them: mergeable like sums.

A stored list is a row of little-endian 64-bit numbers, value and call in turn, `KEPT` pairs at most;
two side by side are the list of both, too long. Latencies are in microseconds, costs in nano-dollars.
"""

from __future__ import annotations

import sys
from array import array
from heapq import heappush, heapreplace, nlargest
from typing import Any

KEPT = 8
"""How many a slot keeps; so many of any window are exact."""

Peaks = list[tuple[int, int]]
"""(value, call), a heap while it is filled."""


def note(peaks: Peaks, value: int, call: int) -> None:
    """Keeps the pair where it is among the largest."""
    if len(peaks) < KEPT:
        heappush(peaks, (value, call))
    elif value > peaks[0][0]:
        heapreplace(peaks, (value, call))


def largest(peaks: Peaks, most: int = KEPT) -> Peaks:
    """The largest pairs, the largest first."""
    return nlargest(most, peaks)


def pack(peaks: Peaks) -> bytes | None:
    """The stored form; None of none."""
    if not peaks:
        return None
    return _little(array("q", [number for pair in peaks for number in pair])).tobytes()


def unpack(stored: bytes | None) -> Peaks:
    """The pairs of one stored list, or of many joined."""
    numbers = array("q", stored or b"")
    _little(numbers)
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def add(one: bytes | None, other: bytes | None) -> bytes | None:
    """Two stored lists as one; None is an empty one."""
    if not one or not other:
        return one or other
    return pack(largest(unpack(one + other)))


def _little(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


class Collect:
    """SQL aggregate over (value, call): the largest as a stored list; None of none."""

    def __init__(self) -> None:
        self.peaks: Peaks = []

    def step(self, value: float | None, call: int) -> None:
        if value is not None:
            note(self.peaks, int(value), call)

    def finalize(self) -> bytes | None:
        return pack(self.peaks)


class Sum:
    """SQL aggregate over stored lists: the largest of all of them."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def step(self, stored: bytes | None) -> None:
        if stored:
            self.parts.append(stored)

    def finalize(self) -> bytes | None:
        return pack(largest(unpack(b"".join(self.parts))))


def register(db: Any) -> None:
    """Makes the functions known to an sqlite3 connection."""
    db.create_function("peaks_add", 2, add, deterministic=True)
    db.create_aggregate("peaks", 2, Collect)
    db.create_aggregate("peaks_sum", 1, Sum)
