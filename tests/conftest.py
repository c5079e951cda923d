"""What all tests share: the embedded model, converted once and kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.model_store import Checkpoint, resolve


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where two processes run the tests, a file's belong together, and all of vLLM's: two engines at work on the same
    cores stand still for a minute at a time. As these take longest, they come first."""
    vllm = Path(__file__).parent / "vllm"
    items.sort(key=lambda item: vllm not in item.path.parents)
    for item in items:
        group = vllm if vllm in item.path.parents else item.path
        item.add_marker(pytest.mark.xdist_group(str(group)))


@pytest.fixture(scope="session")
def embedded_checkpoint() -> Checkpoint:
    """The embedded model as the service finds it, in $LIMRANK_TEST_CACHE or else in the cache that it uses itself."""
    cache_dir = os.environ.get("LIMRANK_TEST_CACHE")
    return resolve("smollm2-135m-instruct", cache_dir=Path(cache_dir) if cache_dir else None)
