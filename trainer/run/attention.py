"""The attention implementation of a run: the library's fused kernel, or the plain one where that kernel is slow or
wrong."""

from __future__ import annotations

from typing import Any

import torch


def set_attention(network: Any, precision: str, *, padded_in_front: bool) -> None:
    """Chooses the attention of `network`, a transformers model, before training.

    On a CPU torch's fused kernel has a slow backward pass in bfloat16: with MiniLM's heads it takes 3.5 times as long
    as two matrix products and a softmax, which is a third of a step. On a GPU the fused kernels returned NaN for
    batches padded in front, where a row of padding may attend to nothing, after a few thousand examples in two of two
    runs (docs/lab-log.md, 2026-11-26); plain attention gives such rows a finite value, which is never read.
    """
    on_gpu = torch.cuda.is_available()
    if padded_in_front if on_gpu else precision == "bfloat16":
        network.set_attn_implementation("eager")
