"""Attention over a batch: passages of any lengths end to end in one row, each seeing its own prefix and itself.

Linear layers then work on every token once and on no padding, and a prefix is neither computed nor copied per passage:
its keys and values stay where they are, and each passage's are laid behind them for as long as its turn lasts.
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
    """What one forward pass attends to. `positions` (tokens,) are those of the batch's tokens in their sequences."""

    positions: Tensor

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """`query` (1, heads, tokens, dim), `key` and `value` with fewer heads. Returns (tokens, heads, dim)."""
        ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens that follow those in `cache`. `keep`: they become part of it; else they are gone after the pass.

    `row`: their keys and values are also kept in that row of the decode cache. A chunk whose cache is lengthened by
    another chunk of the same batch comes after it.
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
    start: int  # in the sequence: so many tokens come before
    row: int | None


class BatchPlan:
    """The plan of a batch. Building it lengthens the caches that are kept, which are whole once the pass is made."""

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
        """Where in the batch the last token of each chunk stands."""
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
    """For each number of tokens before, the mask of the longest chunk; shorter ones take its upper left corner."""
    longest: dict[int, int] = {}
    for span in spans:
        longest[span.start] = max(longest.get(span.start, 0), span.end - span.begin)
    masks = {}
    for start, count in longest.items():
        mask = torch.full((count, start + count), float("-inf"), dtype=dtype)
        masks[start] = mask.triu_(start + 1)
    return masks


def register() -> None:
    """Make the implementation known to transformers under `IMPLEMENTATION`. Safe to repeat."""
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
    """The plan knows what each token sees."""
