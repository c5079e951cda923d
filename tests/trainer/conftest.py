"""Small bases with the real tokenizers, and small training files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

from contract.records import write_groups, write_records
from service.models.checkpoint import Checkpoint
from tests.tokenizers import copy_minilm_tokenizer
from tests.trainer.examples import groups, records


@pytest.fixture(scope="session")
def tiny_llama(embedded_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal model of two thin layers with SmolLM2's tokenizer."""
    folder = tmp_path_factory.mktemp("tiny-llama")
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.3,  # so large that LoRA can move the logits in a few steps
    )
    model: Any = LlamaForCausalLM(config)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    shutil.copyfile(embedded_checkpoint.folder / "tokenizer.json", folder / "tokenizer.json")
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder of two thin layers with MiniLM's tokenizer."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=30522,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        hidden_dropout_prob=0.1,
        initializer_range=0.1,
    )
    model: Any = BertModel(config)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    copy_minilm_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def records_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("records") / "records.jsonl"
    write_records(path, records(48))
    return path


@pytest.fixture(scope="session")
def groups_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("groups") / "groups.jsonl"
    write_groups(path, groups(48))
    return path
