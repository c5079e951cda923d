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
    """The cross-encoder to begin from."""
    return write_cross_encoder(tmp_path_factory.mktemp("tune-model"))


@pytest.fixture(scope="session")
def light_bi_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What finds candidates in a fifth of the packaged one's time."""
    return write_bi_encoder(tmp_path_factory.mktemp("tune-bi-encoder") / "bi-encoder")
