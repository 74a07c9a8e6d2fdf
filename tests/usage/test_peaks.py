"""The few largest of many, however they are cut up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmctl.usage.peaks import KEPT, Peaks, add, largest, note, pack, unpack

PAIRS = st.lists(
    st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)), max_size=40, unique_by=lambda p: p[0]
)


def kept(pairs: Peaks) -> bytes | None:
    peaks: Peaks = []
    for value, call in pairs:
        note(peaks, value, call)
    return pack(peaks)


@given(PAIRS, st.integers(0, 40))
def test_parts_merge_to_what_the_whole_keeps(pairs: Peaks, cut: int) -> None:
    """Slots are merged into longer slots and windows: the dearest call must not get lost on the way."""
    whole = sorted(unpack(kept(pairs)), reverse=True)
    assert whole == sorted(pairs, reverse=True)[:KEPT]
    assert largest(unpack(add(kept(pairs[:cut]), kept(pairs[cut:])))) == whole
