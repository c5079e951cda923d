"""Batches without padding: the pairs of a batch are concatenated in one row, and each attends only to itself.

Linear layers then process every token once and no padding. On a GPU in bfloat16 or float16 one call of torch's
variable-length attention handles all pairs; elsewhere neighbours of equal length are attended to together.

Worked example for pairs of 5, 3 and 3 tokens: ids (1, 11), positions 0-4, 0-2, 0-2; `bounds` (0, 5, 8, 11) and `runs`
((5, 1), (3, 2)). Without variable-length attention two calls compute them: query (1, heads, 5, dim) for the first run
and (2, heads, 3, dim) for the second. BERT-like encoders are read at 0, 5 and 8, decoders at 4, 7 and 10.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from contract.checkpoint.model_config import SIMILARITY_BERT

IMPLEMENTATION = "limrank_pairs"
# Models whose attention transformers lets us replace: encoders read at their first token, and decoders.
_FIRST_TOKEN = ("bert", SIMILARITY_BERT, "electra", "roberta", "xlm-roberta", "camembert")
_LAST_TOKEN = ("llama", "mistral", "qwen2", "qwen3", "gemma")


@dataclass(frozen=True, slots=True)
class Spans:
    """The bounds of the sequences in a row; the last of `bounds` is its length. `starts` are the bounds on the device,
    as int32. `runs` are the (length, count) of neighbours of equal length."""

    bounds: tuple[int, ...]
    starts: Tensor
    runs: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Spans:
        bounds = (0, *itertools.accumulate(lengths))
        runs = tuple((length, sum(1 for _ in group)) for length, group in itertools.groupby(lengths))
        return cls(bounds, torch.tensor(bounds, dtype=torch.int32, device=device), runs)

    @property
    def longest(self) -> int:
        return max(length for length, _ in self.runs)


def packs(config: Any) -> bool:
    """True for architectures in which every token attends to its whole sequence, or to everything before it."""
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    whole = layers == {"full_attention"} and not getattr(config, "use_bidirectional_attention", False)
    if config.model_type in _FIRST_TOKEN:
        return (
            not getattr(config, "is_decoder", False)
            and getattr(config, "position_embedding_type", "absolute") == "absolute"
        )
    sliding = config.model_type == "mistral" and config.sliding_window is not None
    rotary = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    # "dynamic" and "longrope" depend on the length of the whole row.
    return (
        config.model_type in _LAST_TOKEN and whole and not sliding and rotary in ("default", "linear", "llama3", "yarn")
    )


def register() -> None:
    """Registers the implementation with transformers as `IMPLEMENTATION`. Idempotent."""
    AttentionInterface.register(IMPLEMENTATION, _attend)
    AttentionMaskInterface.register(IMPLEMENTATION, _no_mask)


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    spans: Spans,
    **_: Any,
) -> tuple[Tensor, None]:
    """`query` (1, heads, tokens, dim); `key` and `value` may have fewer heads. Returns (1, tokens, heads, dim)."""
    causal = bool(getattr(module, "is_causal", False))
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16):
        found: Any = varlen_attn(
            query[0].transpose(0, 1),
            key[0].transpose(0, 1),
            value[0].transpose(0, 1),
            cu_seq_q=spans.starts,
            cu_seq_k=spans.starts,
            max_q=spans.longest,
            max_k=spans.longest,
            scale=scaling,
            window_size=(-1, 0) if causal else (-1, -1),
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return found[None], None
    parts, start = [], 0
    for length, count in spans.runs:
        end = start + length * count
        # (heads, tokens, dim) -> (sequences, heads, length, dim)
        shape = (-1, count, length, query.shape[-1])
        q, k, v = (each[0, :, start:end].reshape(shape).transpose(0, 1) for each in (query, key, value))
        attended = scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scaling, enable_gqa=True)
        parts.append(attended.transpose(1, 2).flatten(0, 1))  # (tokens, heads, dim)
        start = end
    return torch.cat(parts)[None], None


def _no_mask(*_: Any, **__: Any) -> None:
    """No mask: the spans determine what each token sees."""
