"""Tiny models and small documents, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.tune.material import write_bi_encoder, write_cross_encoder, write_documents


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_documents(tmp_path_factory.mktemp("tune") / "documents")


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A cross-encoder and a bi-encoder."""
    folder = tmp_path_factory.mktemp("tune-models")
    return write_cross_encoder(folder / "cross-encoder"), write_bi_encoder(folder / "bi-encoder")
