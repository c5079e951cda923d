"""A tiny model and small documents, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.tune.material import write_bi_encoder, write_cross_encoder, write_documents


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_documents(tmp_path_factory.mktemp("tune") / "documents")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cross-encoder to begin from. The bi-encoder is the packaged one: a random one finds all passages alike."""
    return write_cross_encoder(tmp_path_factory.mktemp("tune-model"))


@pytest.fixture(scope="session")
def tiny_bi_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For runs that end before it matters what is found."""
    return write_bi_encoder(tmp_path_factory.mktemp("tune-bi-encoder"))
