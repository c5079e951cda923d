"""Which attention a run computes with: the library's fused one, or the plain one where that is slow or wrong."""

from __future__ import annotations

from typing import Any

import torch


def set_attention(network: Any, precision: str, *, padded_in_front: bool) -> None:
    """Choose for `network`, a transformers model, before it is trained.

    On a CPU torch's fused kernel has a slow backward pass for bfloat16: for MiniLM's heads it takes 3.5 times what two
    matrix products and a softmax take, which is a third of a step. On a GPU its kernels have returned NaN for batches
    padded in front, where a row of padding may attend to nothing, after some thousand examples in two of two runs
    (docs/lab-log.md, 2026-11-26); the plain attention gives such rows a finite value, which nobody reads.
    """
    on_gpu = torch.cuda.is_available()
    if padded_in_front if on_gpu else precision == "bfloat16":
        network.set_attn_implementation("eager")
