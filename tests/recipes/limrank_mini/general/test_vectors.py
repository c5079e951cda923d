"""Vectors: of length 1, in the order asked, the same whatever they are batched with, and computed once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recipes.limrank_mini.general.vectors import Encoder

TEXTS = ["Oak is hard.", "Salt melts in water, as everyone knows.", "Oak is hard.", "iron " * 90]


def test_vectors_are_those_of_each_text_alone(encoder: Encoder, bi_encoder: Path, tmp_path: Path) -> None:
    found = encoder(TEXTS)
    assert found.shape == (4, 384)
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert (found[0] == found[2]).all()
    alone = Encoder(bi_encoder, tmp_path / "other")
    for text, vector in zip(TEXTS, found, strict=True):
        assert float(alone([text])[0] @ vector) == pytest.approx(1, abs=1e-2)


def test_what_was_computed_is_read_again(encoder: Encoder, bi_encoder: Path, tmp_path: Path) -> None:
    found = encoder(TEXTS)
    told: list[tuple[int, int]] = []
    again = Encoder(bi_encoder, tmp_path / "vectors")([*TEXTS, "new"], lambda done, of: told.append((done, of)))
    assert (again[:4] == found).all()
    assert told == [(1, 1)], "only the new text was computed"


def test_no_text_gives_no_vector(encoder: Encoder) -> None:
    assert encoder([]).shape == (0, 384)
