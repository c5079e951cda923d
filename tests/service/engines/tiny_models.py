"""Tiny random models of the architectures that public rerankers have, saved as folders that the service can open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

_CONFIGS: dict[str, Any] = {
    "gemma": GemmaConfig,
    "llama": LlamaConfig,
    "mistral": MistralConfig,
    "qwen2": Qwen2Config,
    "qwen3": Qwen3Config,
}


def save_tiny_model(
    folder: Path, architecture: str, tokenizer: Tokenizer, *, head_dim: int = 8, hidden_size: int = 32
) -> Path:
    """A random model of two layers with this tokenizer. Its logits spread widely, so that a wrong id shows."""
    config = _CONFIGS[architecture](
        vocab_size=tokenizer.get_vocab_size(with_added_tokens=True),
        hidden_size=hidden_size,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=head_dim,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        **({"sliding_window": None} if architecture == "mistral" else {}),
    )
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "norm" not in name:
                weights.normal_(0.0, 0.3)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


class PlainLogits:
    """A saved model in float32 as transformers runs it, one sequence at a time."""

    def __init__(self, folder: Path) -> None:
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self._model = model.eval()

    @torch.inference_mode()
    def after(self, ids: list[int]) -> torch.Tensor:
        """The logits of all tokens behind `ids`, in float64."""
        logits: torch.Tensor = self._model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1].double()
        return logits

    def probabilities(self, ids: list[int]) -> torch.Tensor:
        return self.after(ids).softmax(-1)
