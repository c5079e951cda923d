"""What the service's tests share: the embedded model, converted once and kept between runs, and a tiny one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.model_store import Checkpoint, resolve
from tests.service.tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="session")
def embedded_checkpoint() -> Checkpoint:
    """The embedded model as the service finds it, in $LIMRANK_TEST_CACHE or else in the cache that it uses itself."""
    cache_dir = os.environ.get("LIMRANK_TEST_CACHE")
    return resolve("smollm2-135m-instruct", cache_dir=Path(cache_dir) if cache_dir else None)


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file of two layers and some 300 tokens, in the form of the embedded one."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_tiny_gguf(path)
    return path
