"""Attention of a decoding step: one new token for each trace, over its call's shared prefix and its own tokens.

Both parts are attended to separately and joined by their log-sum-exps, so that a prefix is read once per step for all
its traces. Prefixes of about as many traces each are laid side by side for the step, as one operation for all of them
costs less than a few for each; a long one, and one that is alone in this, is not copied.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from service.engines.transformers.kv_cache import DecodeCache, KVCache

_SHORT = 256  # tokens; a longer prefix is not worth a copy

_Group = tuple[KVCache, Tensor]  # a prefix and the rows that share it


class DecodePlan:
    """The plan of one step; building it lengthens every row. `prefixes` has the shared prefix of each row."""

    def __init__(self, prefixes: Sequence[KVCache], cache: DecodeCache) -> None:
        self._cache = cache
        self._rows = torch.arange(cache.count)
        self._at = torch.tensor(cache.lengths)
        self._longest = max(cache.lengths) + 1
        self._unseen = torch.arange(self._longest) > self._at[:, None]
        self._bands = _banded(_grouped(prefixes))
        self.positions = self._at + torch.tensor([prefix.length for prefix in prefixes])
        cache.lengths = [length + 1 for length in cache.lengths]

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        keys, values = self._cache.keys[layer], self._cache.values[layer]
        keys[self._rows, :, self._at] = key[0].transpose(0, 1)
        values[self._rows, :, self._at] = value[0].transpose(0, 1)
        count, heads = len(self._rows), keys.shape[1]
        query = query[0].transpose(0, 1).reshape(count, heads, -1, query.shape[3])
        own = slice(count), slice(None), slice(self._longest)
        output, weight = _attend(query, keys[own], values[own], scale, self._unseen[:, None, None])
        for band in self._bands:
            _join(output, weight, band.rows, *band.attend(layer, query, scale))
        return output.reshape(count, -1, output.shape[3])


class _Band:
    """Prefixes of like many rows as one padded batch; one alone is not copied. `rows`: all rows, prefix by prefix."""

    def __init__(self, groups: Sequence[_Group]) -> None:
        counts, lengths = [len(rows) for _, rows in groups], [prefix.length for prefix, _ in groups]
        most = max(counts)
        self.rows = torch.cat([rows for _, rows in groups])
        self._place = torch.stack([torch.cat([rows, rows[:1].expand(most - len(rows))]) for _, rows in groups])
        self._used = (torch.arange(most) < torch.tensor(counts)[:, None]).flatten()
        unseen = (torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None])[:, None, None]
        self._unseen = unseen if len(groups) > 1 else None
        self._keys = _side_by_side([prefix.keys for prefix, _ in groups], lengths)
        self._values = _side_by_side([prefix.values for prefix, _ in groups], lengths)

    def attend(self, layer: int, query: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """For the rows in `rows`. `query` is that of all rows (rows, heads, group, dim)."""
        count, most = self._place.shape
        _, heads, group, dim = query.shape
        asked = query[self._place.flatten()].view(count, most, heads, group, dim).transpose(1, 2)
        output, weight = _attend(
            asked.reshape(count, heads, most * group, dim), self._keys[layer], self._values[layer], scale, self._unseen
        )
        return self._by_row(output, most), self._by_row(weight, most)

    def _by_row(self, found: Tensor, most: int) -> Tensor:
        """(prefixes, heads, most * group, width) -> (rows, heads, group, width)."""
        count, heads, both, width = found.shape
        split = found.view(count, heads, most, both // most, width).transpose(1, 2)
        return split.reshape(count * most, heads, both // most, width)[self._used]


def _join(output: Tensor, weight: Tensor, rows: Tensor, part: Tensor, part_weight: Tensor) -> None:
    """Add a prefix's part to what `rows` have attended to among their own tokens."""
    share = torch.sigmoid(part_weight - weight[rows]).to(output.dtype)
    output[rows] = torch.lerp(output[rows], part, share)


def _grouped(prefixes: Sequence[KVCache]) -> list[_Group]:
    rows: dict[int, list[int]] = {}
    for row, prefix in enumerate(prefixes):
        rows.setdefault(id(prefix), []).append(row)
    return [(prefixes[members[0]], torch.tensor(members)) for members in rows.values()]


def _banded(groups: Sequence[_Group]) -> list[_Band]:
    """Bands whose row counts differ by less than twice; a long prefix is alone in its band."""
    bands: dict[int, list[_Group]] = {}
    alone: list[list[_Group]] = []
    for prefix, rows in groups:
        if 0 < prefix.length <= _SHORT:
            bands.setdefault((len(rows) - 1).bit_length(), []).append((prefix, rows))
        else:
            alone.append([(prefix, rows)])
    return [_Band(band) for band in (*bands.values(), *alone)]


def _side_by_side(held: Sequence[Tensor], lengths: Sequence[int]) -> Tensor:
    """(layers, 1, heads, capacity, dim) each -> (layers, all, heads, longest, dim), zeros behind what each holds."""
    if len(held) == 1:
        return held[0][:, :, :, : lengths[0]]
    layers, _, heads, _, dim = held[0].shape
    laid = held[0].new_empty(layers, len(held), heads, max(lengths), dim)
    for at, (one, length) in enumerate(zip(held, lengths, strict=True)):
        laid[:, at, :, :length] = one[:, 0, :, :length]
        laid[:, at, :, length:] = 0  # a masked NaN would still spoil what it is added to
    return laid


def _attend(
    query: Tensor, keys: Tensor, values: Tensor, scale: float, unseen: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Attended values, and the log of the sum of exponentiated scores by which two parts are joined."""
    scores = (query @ keys.transpose(-2, -1)).float() * scale
    if unseen is not None:
        scores = scores.masked_fill(unseen, float("-inf"))
    weight = torch.logsumexp(scores, dim=-1, keepdim=True)
    return torch.exp(scores - weight).to(values.dtype) @ values, weight
