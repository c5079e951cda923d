"""What all tests share: the embedded model, converted once and kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.model_store import Checkpoint, resolve


@pytest.fixture(scope="session")
def embedded_checkpoint() -> Checkpoint:
    """The embedded model as the service finds it, in $LIMRANK_TEST_CACHE or else in the cache that it uses itself."""
    cache_dir = os.environ.get("LIMRANK_TEST_CACHE")
    return resolve("smollm2-135m-instruct", cache_dir=Path(cache_dir) if cache_dir else None)
