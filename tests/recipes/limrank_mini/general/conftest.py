"""The bi-encoder that the recipe is meant for, from its package."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipes.limrank_mini.general.vectors import Encoder
from tests.tokenizers import minilm_folder


@pytest.fixture(scope="session")
def bi_encoder() -> Path:
    return minilm_folder()


@pytest.fixture
def encoder(bi_encoder: Path, tmp_path: Path) -> Encoder:
    return Encoder(bi_encoder, tmp_path / "vectors")
