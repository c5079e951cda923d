"""What the service's tests share: a tiny model beside the embedded one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.models.tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file of two layers and some 300 tokens, in the form of the embedded one."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_tiny_gguf(path)
    return path
