"""Every test of the contract runs with both tokenizers."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from contract.prompt import LIMRANK
from contract.segments import Segments
from service.models.checkpoint import Checkpoint
from tests.tokenizers import folder_tokenizer, qwen_tokenizer


@pytest.fixture(scope="session", params=["smollm2", "qwen2.5"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    if request.param == "qwen2.5":
        return qwen_tokenizer()
    checkpoint: Checkpoint = request.getfixturevalue("embedded_checkpoint")
    return folder_tokenizer(checkpoint.folder)


@pytest.fixture(scope="session")
def segments(tokenizer: Tokenizer) -> Segments:
    return Segments(LIMRANK, tokenizer)
