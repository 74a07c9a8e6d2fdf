"""Percentiles out of buckets are close enough to be believed."""

from __future__ import annotations

import math
import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmctl.usage.histogram import BUCKETS, ERROR, LEAST, MOST, Samples, add, bucket, pack, unpack, value

SECONDS = st.floats(min_value=2e-5, max_value=7000)


@given(SECONDS)
def test_a_bucket_stands_for_its_values_within_one_percent(seconds: float) -> None:
    """The bound that reports state must hold for every duration, not on average."""
    assert abs(value(bucket(seconds)) - seconds) <= seconds * ERROR * 1.0001


@pytest.mark.parametrize("seconds", [0.0, 1e-9, LEAST, -1.0])
def test_what_is_too_short_is_the_first_bucket(seconds: float) -> None:
    """A clock of low resolution gives 0, which has no logarithm."""
    assert bucket(seconds) == 0


def test_what_is_too_long_is_the_last_bucket() -> None:
    """A call that hung over night must not break the report of it."""
    assert bucket(1e9) == BUCKETS - 1


@given(st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 3 * MOST), max_size=20))
def test_what_is_packed_comes_back(counts: dict[int, int]) -> None:
    """Counts beyond 22 bits take several numbers, and no one is the wiser."""
    assert unpack(pack(counts)) == counts


@given(st.lists(SECONDS, max_size=50), st.lists(SECONDS, max_size=50))
def test_sums_are_as_if_counted_together(one: list[float], other: list[float]) -> None:
    """Ten shards that write the same slot must leave what one would have left."""
    assert unpack(add(stored(one), stored(other)) or b"") == unpack(stored(one + other) or b"")


def stored(values: list[float]) -> bytes | None:
    counts: dict[int, int] = {}
    for seconds in values:
        counts[bucket(seconds)] = counts.get(bucket(seconds), 0) + 1
    return pack(counts) or None


def ranked(values: list[float], rank: float) -> float:
    return sorted(values)[max(0, math.ceil(rank * len(values)) - 1)]


def test_percentiles_of_a_million_merged_pieces_stay_within_the_bound() -> None:
    """Errors that add up with every merge would make p99 a guess."""
    chance = random.Random(7)
    values = [chance.lognormvariate(0, 1.5) for _ in range(100_000)]
    rolled, exact = Samples(), Samples()
    for start in range(0, len(values), 500):
        part = values[start : start + 500]
        rolled.rolled(stored(part), sum(part))
        exact.exact(array("d", part).tobytes())
    mean, *found = rolled.summary((0.5, 0.95, 0.99))
    assert mean == pytest.approx(sum(values) / len(values))
    for rank, seconds in zip((0.5, 0.95, 0.99), found, strict=True):
        assert seconds == pytest.approx(ranked(values, rank), rel=ERROR * 1.0001)
    assert exact.summary((0.5, 0.99))[1:] == (ranked(values, 0.5), ranked(values, 0.99))


def test_exact_and_rolled_samples_mix() -> None:
    """The ragged edges of a window are exact, its middle is not."""
    both = Samples()
    both.exact(array("d", [1.0] * 10).tobytes())
    both.rolled(stored([3.0] * 10), 30.0)
    mean, low, high = both.summary((0.5, 0.99))
    assert mean == pytest.approx(2.0)
    assert low == pytest.approx(1.0, rel=ERROR)
    assert high == pytest.approx(3.0, rel=ERROR)


def test_nothing_has_no_percentiles() -> None:
    """0 seconds would be a lie about calls that never were."""
    assert Samples().summary((0.5,)) == (None, None)
