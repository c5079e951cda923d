"""Attention over a batch: chunks of any lengths are concatenated in one row, and each sees its own prefix and itself.

Linear layers then process every token once and no padding. A prefix is neither computed nor copied per passage: its
keys and values stay in its cache, and those of each passage are written after them for the duration of one forward
pass.

Worked example: prefix P of 300 tokens is computed already (`length` 300). Passages A and B have 200 and 400 tokens; the
batch has 600, positions 300-499 and 300-699, query (1, heads, 600, dim). In each layer, one passage after the other:

    A    P's cache[300:500] = A's keys     query [0:200] over keys [0:500]      -> output [0:200]
    B    P's cache[300:700] = B's keys     query [200:600] over keys [0:700]    -> output [200:600]

B overwrites A. `length` stays 300, so nothing remains of either; a chunk of P itself (`keep`) would raise it. One
causal mask serves both: (400, 700) for B, of which A takes the upper left (200, 500).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from service.engines.transformers.kv_cache import DecodeCache, KVCache

IMPLEMENTATION = "limrank_packed"


class AttentionPlan(Protocol):
    """What one forward pass attends to. `positions` (tokens,) are those of the batch's tokens within their
    sequences."""

    positions: Tensor

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """`query` is (1, heads, tokens, dim); `key` and `value` have fewer heads. Returns (tokens, heads, dim)."""
        ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens that follow those in `cache`. With `keep` they become part of it; otherwise they are dropped after the
    pass.

    With `row` their keys and values are also stored in that row of the decode cache. A chunk must come after any chunk
    of the same batch that extends its cache.
    """

    cache: KVCache
    ids: Sequence[int]
    keep: bool = False
    row: int | None = None


@dataclass(frozen=True, slots=True)
class _Span:
    cache: KVCache
    begin: int  # in the batch
    end: int
    start: int  # number of tokens before it in the sequence
    row: int | None


class BatchPlan:
    """The plan of a batch. Building it lengthens the caches to be kept, whose content is complete after the pass."""

    def __init__(self, chunks: Sequence[Chunk], decode_cache: DecodeCache, dtype: torch.dtype) -> None:
        self._decode_cache = decode_cache
        self._spans = _laid_out(chunks)
        self._masks = _masks(self._spans, dtype)
        self.positions = torch.cat([torch.arange(s.start, s.start + s.end - s.begin) for s in self._spans])
        for span in self._spans:
            if span.row is not None:
                decode_cache.lengths[span.row] = span.end - span.begin

    @property
    def last(self) -> list[int]:
        """The index of each chunk's last token in the batch."""
        return [span.end - 1 for span in self._spans]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        output = query.new_empty(query.shape[2], query.shape[1], query.shape[3])
        for span in self._spans:
            self._attend_span(span, layer, query, key, value, scale, output)
        return output

    def _attend_span(
        self, span: _Span, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, output: Tensor
    ) -> None:
        count = span.end - span.begin
        until = span.start + count
        key, value = key[0, :, span.begin : span.end], value[0, :, span.begin : span.end]
        keys, values = span.cache.keys[layer, :, :, :until], span.cache.values[layer, :, :, :until]
        keys[0, :, span.start :] = key
        values[0, :, span.start :] = value
        if span.row is not None:
            self._decode_cache.keys[layer, span.row, :, :count] = key
            self._decode_cache.values[layer, span.row, :, :count] = value
        attended = scaled_dot_product_attention(
            query[:, :, span.begin : span.end],
            keys,
            values,
            attn_mask=self._masks[span.start][:count, :until],
            scale=scale,
            enable_gqa=True,
        )
        output[span.begin : span.end] = attended[0].transpose(0, 1)


def _laid_out(chunks: Sequence[Chunk]) -> list[_Span]:
    spans: list[_Span] = []
    begin = 0
    for chunk in chunks:
        end = begin + len(chunk.ids)
        chunk.cache.reserve(len(chunk.ids))
        spans.append(_Span(chunk.cache, begin, end, chunk.cache.length, chunk.row))
        if chunk.keep:
            chunk.cache.length += len(chunk.ids)
        begin = end
    return spans


def _masks(spans: Sequence[_Span], dtype: torch.dtype) -> dict[int, Tensor]:
    """The mask of the longest chunk for each number of preceding tokens; shorter ones use its upper left corner."""
    longest: dict[int, int] = {}
    for span in spans:
        longest[span.start] = max(longest.get(span.start, 0), span.end - span.begin)
    masks = {}
    for start, count in longest.items():
        mask = torch.full((count, start + count), float("-inf"), dtype=dtype)
        masks[start] = mask.triu_(start + 1)
    return masks


def register() -> None:
    """Registers the implementation with transformers as `IMPLEMENTATION`. Idempotent."""
    AttentionInterface.register(IMPLEMENTATION, _planned_attention)
    AttentionMaskInterface.register(IMPLEMENTATION, _no_mask)


def _planned_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    plan: AttentionPlan,
    **_: Any,
) -> tuple[Tensor, None]:
    return plan.attend(module.layer_idx, query, key, value, scaling)[None], None  # type: ignore[arg-type]


def _no_mask(*_: Any, **__: Any) -> None:
    """No mask: the plan determines what each token sees."""
