"""Every test of the contract runs with both tokenizers."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from contract.prompt import LIMRANK
from contract.segments import Segments
from tests.tokenizers import folder_tokenizer, qwen_tokenizer


@pytest.fixture(scope="session", params=["smollm2", "qwen2.5"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    if request.param == "qwen2.5":
        return qwen_tokenizer()
    folder: Path = request.getfixturevalue("embedded_folder")
    return folder_tokenizer(folder)


@pytest.fixture(scope="session")
def segments(tokenizer: Tokenizer) -> Segments:
    return Segments(LIMRANK, tokenizer)
