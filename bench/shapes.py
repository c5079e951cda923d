"""Checkpoint folders with a model's shape but no weights: for measuring time, not for scoring.

vLLM fills such a model with random numbers when started with `load_format=dummy`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from contract.checkpoint.manifest import Manifest, tokenizer_sha256
from contract.prompt import LIMRANK
from contract.verdict import resolve_verdict_tokens

QWEN2_5_7B: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "rope_theta": 1000000.0,
    "rms_norm_eps": 1e-06,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "bos_token_id": 151643,
    "eos_token_id": 151645,
}
# The same family and tokenizer with two small layers, for trials on a CPU.
QWEN2_5_SMALL: dict[str, Any] = QWEN2_5_7B | {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "torch_dtype": "float32",
}
TINY: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 49152,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-05,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "torch_dtype": "float32",
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def write_shape(folder: Path, shape: dict[str, Any], tokenizer: Path) -> Path:
    """Writes a folder that the service accepts as a checkpoint: settings, tokenizer, manifest, and an empty weights
    file.

    `tokenizer` is a tokenizer.json. Raises ContractError when it cannot keep the contract.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(shape))
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    save_file({"none": np.zeros(1, dtype=np.float32)}, folder / "model.safetensors")
    found = resolve_verdict_tokens(LIMRANK, Tokenizer.from_file(str(tokenizer)))
    Manifest(
        kind="causal",
        format=LIMRANK,
        verdict_tokens=found,
        tokenizer_sha256=tokenizer_sha256(folder),
        base="random numbers",
        recipe="none: a shape without weights",
    ).write(folder)
    return folder
