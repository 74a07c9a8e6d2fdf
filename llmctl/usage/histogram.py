"""Durations as counts in logarithmic buckets: small, mergeable, percentiles within 1 %.

The buckets are those of DDSketch (Masson, Rim, Lee: "DDSketch", VLDB 2019): bucket i holds the
values in [LEAST × GAMMA^(i-1), LEAST × GAMMA^i) and is read as the value whose relative distance to
both ends is ERROR. A percentile is off by at most ERROR, 1 %, between 10 µs and two hours; shorter
values read as 10 µs and longer ones as two hours. A stored histogram is a row of little-endian
32-bit numbers, bucket << 22 | count; two of them side by side are the histogram of both.
"""

from __future__ import annotations

import math
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import accumulate
from typing import Any

ERROR = 0.01
GAMMA = (1 + ERROR) / (1 - ERROR)
LEAST = 1e-5
"""Seconds; the upper end of bucket 0."""
BUCKETS = 1024
COUNT_BITS = 22
MOST = (1 << COUNT_BITS) - 1
FEW = 500
"""Entries up to which it is quicker to sort them than to count the equal ones first."""
_SCALE = 1 / math.log(GAMMA)
_SHIFT = 1 - math.log(LEAST) * _SCALE


def bucket(seconds: float) -> int:
    """The bucket of a duration."""
    if seconds <= LEAST:
        return 0
    number = int(math.log(seconds) * _SCALE + _SHIFT)
    return number if number < BUCKETS else BUCKETS - 1


@cache
def value(number: int) -> float:
    """The duration in seconds that stands for a bucket."""
    return LEAST if number == 0 else LEAST * 2 * GAMMA**number / (1 + GAMMA)


def pack(counts: Mapping[int, int]) -> bytes:
    """The stored form; a count too large for one number takes several."""
    numbers = array("I")
    for number, count in counts.items():
        while count > MOST:
            numbers.append(number << COUNT_BITS | MOST)
            count -= MOST
        numbers.append(number << COUNT_BITS | count)
    return _little(numbers).tobytes()


def unpack(stored: bytes) -> dict[int, int]:
    """Counts by bucket, of one stored histogram or of many joined."""
    counts: dict[int, int] = {}
    for number, times in Counter(_numbers(stored)).items():
        place = number >> COUNT_BITS
        counts[place] = counts.get(place, 0) + (number & MOST) * times
    return counts


def add(one: bytes | None, other: bytes | None) -> bytes | None:
    """The sum of two stored histograms; None is an empty one."""
    if not one or not other:
        return one or other
    return pack(unpack(one + other))


def _numbers(stored: bytes) -> array[int]:
    numbers = array("I")
    numbers.frombytes(stored)
    return _little(numbers)


def _little(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


class Samples:
    """Durations to be summed up: exact ones as long as all are, else buckets."""

    __slots__ = ("_blobs", "_exact", "total")

    def __init__(self) -> None:
        self.total = 0.0
        self._exact: list[bytes] = []
        self._blobs: list[bytes] = []

    def exact(self, doubles: bytes | None) -> None:
        """Adds values, as the bytes of an array of doubles."""
        if doubles:
            self._exact.append(doubles)

    def rolled(self, stored: bytes | None, total: float) -> None:
        """Adds stored histograms and the sum of what is in them."""
        if stored:
            self._blobs.append(stored)
            self.total += total

    def merge(self, other: Samples) -> None:
        self.total += other.total
        self._exact += other._exact
        self._blobs += other._blobs

    def compact(self) -> None:
        """Makes one histogram of all, so that it can be merged into several others cheaply."""
        if len(self._blobs) > 1 or (self._blobs and len(self._blobs[0]) > 4 * BUCKETS):
            self._blobs = [pack(unpack(b"".join(self._blobs)))]

    def summary(self, ranks: Iterable[float]) -> tuple[float | None, ...]:
        """Mean, then each percentile by nearest rank; all None where there is nothing."""
        ranks = tuple(ranks)
        values = array("d", b"".join(self._exact))
        if not self._blobs:
            return _exact_summary(sorted(values), ranks)
        entries = _numbers(b"".join(self._blobs))
        if values:
            entries.extend([bucket(seconds) << COUNT_BITS | 1 for seconds in values])
        if len(entries) <= FEW:
            order = sorted(entries)
            seen = list(accumulate([entry & MOST for entry in order]))
        else:
            times = Counter(entries)
            order = sorted(times)
            seen = list(accumulate([(entry & MOST) * times[entry] for entry in order]))
        mean = (self.total + math.fsum(values)) / seen[-1]
        return mean, *[
            value(order[bisect_left(seen, math.ceil(rank * seen[-1]))] >> COUNT_BITS) for rank in ranks
        ]

    def cumulative(self, bounds: Iterable[float]) -> tuple[list[int], int, float]:
        """How many are at most as long as each bound (ascending, seconds); all of them, and their sum."""
        values = sorted(array("d", b"".join(self._exact)))
        counts = unpack(b"".join(self._blobs))
        for number, count in Counter(map(bucket, values)).items():
            counts[number] = counts.get(number, 0) + count
        order = sorted(counts)
        seen = [0, *accumulate(counts[number] for number in order)]
        ends = [value(number) for number in order]
        return [seen[bisect_right(ends, bound)] for bound in bounds], seen[-1], self.total + math.fsum(values)


def _exact_summary(values: list[float], ranks: tuple[float, ...]) -> tuple[float | None, ...]:
    if not values:
        return (None,) * (len(ranks) + 1)
    return math.fsum(values) / len(values), *(
        values[max(0, math.ceil(rank * len(values)) - 1)] for rank in ranks
    )


class Collect:
    """SQL aggregate: the durations of a group, as the bytes of an array of doubles."""

    def __init__(self) -> None:
        self.values = array("d")
        self.step = self.values.append

    def finalize(self) -> bytes:
        return self.values.tobytes()


class Join:
    """SQL aggregate: the stored histograms of a group, side by side; None of none."""

    def __init__(self) -> None:
        self.parts: list[bytes | None] = []
        self.step = self.parts.append

    def finalize(self) -> bytes | None:
        return b"".join(part for part in self.parts if part) or None


class Sum(Join):
    """SQL aggregate: the same as one compact histogram."""

    def finalize(self) -> bytes | None:
        joined = super().finalize()
        return joined and pack(unpack(joined))


class Histogram:
    """SQL aggregate: the durations of a group as a stored histogram; None of none."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def step(self, seconds: float | None) -> None:
        if seconds is not None:
            self.counts[bucket(seconds)] += 1

    def finalize(self) -> bytes | None:
        return pack(self.counts) or None


def register(db: Any) -> None:
    """Makes the functions known to an sqlite3 connection."""
    db.create_function("histogram_add", 2, add, deterministic=True)
    db.create_aggregate("collect", 1, Collect)
    db.create_aggregate("histogram_join", 1, Join)
    db.create_aggregate("histogram_sum", 1, Sum)
    db.create_aggregate("histogram", 1, Histogram)
