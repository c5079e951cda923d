"""Attention of a decoding step: one new token for each trace, over its call's shared prefix and its own tokens.

Both parts are attended to separately and joined by their log-sum-exps, so that a prefix is read once per step for all
its traces and is never copied.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from service.key_values import KeyValues, TraceSlots


class DecodePlan:
    """The plan of one step; building it lengthens every row. `prefixes` has the shared prefix of each row."""

    def __init__(self, prefixes: Sequence[KeyValues], slots: TraceSlots) -> None:
        self._slots = slots
        self._rows = torch.arange(slots.count)
        self._at = torch.tensor(slots.lengths)
        self._longest = max(slots.lengths) + 1
        self._unseen = torch.arange(self._longest) > self._at[:, None]
        self._groups = _grouped(prefixes)
        self.positions = self._at + torch.tensor([prefix.length for prefix in prefixes])
        slots.lengths = [length + 1 for length in slots.lengths]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        keys, values = self._slots.keys[layer], self._slots.values[layer]
        keys[self._rows, :, self._at] = key[0].transpose(0, 1)
        values[self._rows, :, self._at] = value[0].transpose(0, 1)
        count, heads = len(self._rows), keys.shape[1]
        query = query[0].transpose(0, 1).reshape(count, heads, -1, query.shape[3])
        own = slice(count), slice(None), slice(self._longest)
        output, weight = _attend(query, keys[own], values[own], scale, self._unseen[:, None, None])
        for prefix, rows in self._groups:
            shared = prefix.keys[layer, 0, :, : prefix.length], prefix.values[layer, 0, :, : prefix.length]
            part, part_weight = _attend_shared(query[rows], *shared, scale)
            share = torch.sigmoid(part_weight - weight[rows]).to(output.dtype)
            output[rows] = torch.lerp(output[rows], part, share)
        return output.reshape(count, -1, output.shape[3])


def _grouped(prefixes: Sequence[KeyValues]) -> list[tuple[KeyValues, Tensor]]:
    rows: dict[int, list[int]] = {}
    for row, prefix in enumerate(prefixes):
        rows.setdefault(id(prefix), []).append(row)
    return [(prefixes[members[0]], torch.tensor(members)) for members in rows.values()]


def _attend_shared(query: Tensor, keys: Tensor, values: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """`query` (rows, heads, group, dim) over `keys` (heads, tokens, dim) that all rows share."""
    rows, heads, group, dim = query.shape
    folded = query.transpose(0, 1).reshape(heads, rows * group, dim)
    output, weight = _attend(folded, keys, values, scale)
    return (
        output.view(heads, rows, group, dim).transpose(0, 1),
        weight.view(heads, rows, group, 1).transpose(0, 1),
    )


def _attend(
    query: Tensor, keys: Tensor, values: Tensor, scale: float, unseen: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Attended values, and the log of the sum of exponentiated scores by which two parts are joined."""
    scores = (query @ keys.transpose(-2, -1)).float() * scale
    if unseen is not None:
        scores = scores.masked_fill(unseen, float("-inf"))
    weight = torch.logsumexp(scores, dim=-1, keepdim=True)
    return torch.exp(scores - weight).to(values.dtype) @ values, weight
