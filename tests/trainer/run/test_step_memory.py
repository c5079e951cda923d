"""What a step is said to keep for its backward pass, beside what autograd keeps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM

from trainer.run.plan import kept_bytes
from trainer.sft.lora import add_lora

_VOCABULARY = 64


def _llama(attention: str) -> Any:
    chosen: dict[str, Any] = {"attn_implementation": attention}
    config = LlamaConfig(
        vocab_size=_VOCABULARY,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=3,
        num_key_value_heads=1,
        tie_word_embeddings=True,
        **chosen,
    )
    return LlamaForCausalLM(config)  # type: ignore[no-untyped-call]


def _llama_with_lora(attention: str) -> Any:
    return add_lora(_llama(attention), rank=4, alpha=8, dropout=0.0, seed=0)


def _bert(attention: str) -> Any:
    chosen: dict[str, Any] = {"num_labels": 1, "attn_implementation": attention}
    config = BertConfig(
        vocab_size=_VOCABULARY,
        hidden_size=192,
        intermediate_size=768,
        num_hidden_layers=3,
        num_attention_heads=6,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **chosen,
    )
    return BertForSequenceClassification(config)  # type: ignore[no-untyped-call]


def _kept(network: Any, rows: int, length: int, *, bfloat16: bool) -> int:
    """Bytes of all tensors that autograd keeps but the weights themselves, each counted once."""
    weights = {one.untyped_storage().data_ptr() for one in network.parameters()}
    held: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            held[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=bfloat16),
    ):
        network(input_ids=torch.ones((rows, length), dtype=torch.long))
    return sum(one.untyped_storage().nbytes() for one in held.values())


@pytest.mark.parametrize("bfloat16", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("make", [_llama, _llama_with_lora, _bert])
def test_what_is_kept_is_reckoned(make: Any, attention: str, bfloat16: bool) -> None:
    network = make(attention).train()
    for rows, length in ((4, 40), (1, 400)):
        reckoned = kept_bytes(network, [length] * rows, causal=make is not _bert, bfloat16=bfloat16)
        assert reckoned == pytest.approx(_kept(network, rows, length, bfloat16=bfloat16), rel=0.2)


def test_padding_counts_and_checkpointing_saves() -> None:
    network = _llama_with_lora("eager").train()
    whole = kept_bytes(network, [300, 200], causal=True, bfloat16=False)
    assert whole == kept_bytes(network, [300, 300], causal=True, bfloat16=False)
    assert kept_bytes(network, [300, 200], causal=True, bfloat16=False, logits=7) == whole + 7 * _VOCABULARY * 10
    network.enable_input_require_grads()
    network.gradient_checkpointing_enable()
    less = kept_bytes(network, [300, 200], causal=True, bfloat16=False)
    assert whole / 3 < less < whole / 2, "one layer of three, and the inputs of all"
