"""What the forward pass of a training step keeps in memory for its backward pass, reckoned from the network's sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

# Bytes that a layer keeps of a token and unit of hidden size, beside its MLP: normed input, queries, keys, values,
# attention's output, residuals. Counted by autograd's hooks for Llama (28 and 26) and BERT (33 and 25).
_FLOAT32, _BFLOAT16 = 30, 26
_LOGIT = 10  # of one word of the vocabulary at one position: its value, its log-probability and the gradient of one


def kept_bytes(network: Any, lengths: Sequence[int], *, causal: bool, bfloat16: bool, logits: int = 0) -> int:
    """Of a batch of sequences of `lengths` (in tokens), padded to the longest, on one device.

    `network`: a transformers model, with or without LoRA, its weights in float32; `causal` says that it is one, whose
    plain attention has its softmax in float32 always. `bfloat16`: whether products are computed so (autocast), which
    needs a copy of the weights, too. `logits`: positions whose logits are computed. With gradient checkpointing every
    layer keeps its input alone, and one at a time the rest. Weights and gradients are not counted; of what is in use
    for a moment only, the logits alone.
    """
    config = network.config
    tokens, size, layers = max(lengths) * len(lengths), config.hidden_size, config.num_hidden_layers
    number = 2 if bfloat16 else 4
    layer = tokens * (size * (_BFLOAT16 if bfloat16 else _FLOAT32) + _mlp_widths(network) * number)
    if config._attn_implementation == "eager":
        score = 4 if not bfloat16 else 6 if causal else 2
        layer += tokens * max(lengths) * config.num_attention_heads * score
    if bfloat16:
        layer += 2 * sum(one.weight.numel() for one in _linears(network)) // layers
    every = tokens * size * 4 * layers + layer if network.is_gradient_checkpointing else layer * layers
    return int(every + logits * config.vocab_size * _LOGIT)


def _mlp_widths(network: Any) -> int:
    """How many numbers an MLP keeps of a token: before and behind its activation, and with a gate the gate's and the
    product, so two for each matrix that widens."""
    config, width = network.config, int(network.config.intermediate_size)
    sizes = config.hidden_size, width
    widening = [one for one in _linears(network) if (one.in_features, one.out_features) == sizes]
    return 2 * width * len(widening) // int(config.num_hidden_layers)


def _linears(network: Any) -> list[torch.nn.Linear]:
    return [one for one in network.modules() if isinstance(one, torch.nn.Linear)]
