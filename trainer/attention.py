"""Which attention a run computes with: on a CPU in bfloat16, the plain one beats the library's fused one."""

from __future__ import annotations

from typing import Any

import torch


def set_attention(network: Any, precision: str) -> None:
    """Choose for `network`, a transformers model, before it is trained.

    torch's fused kernel has a slow backward pass for bfloat16 on CPUs: for MiniLM's heads it takes 3.5 times what two
    matrix products and a softmax take, which is a third of a step.
    """
    if precision == "bfloat16" and not torch.cuda.is_available():
        network.set_attn_implementation("eager")
