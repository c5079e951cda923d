"""Attention of a decoding step: one new token per row, over the shared prefix of its call and the row's own tokens.

Both parts are computed separately and merged by their log-sum-exps, so that each step reads a prefix once for all rows
that share it. Prefixes with similar row counts are stacked for the step, because one operation for all of them is
cheaper than several for each. A long prefix, or one that is alone in its band, is not copied.

Shapes: `rows` are the sequences being decoded, `heads` the key/value heads, `group` the query heads that share one of
these, `dim` the width of a head. Query heads = heads * group.

Worked example with 4 rows, 2 heads, a group of 3, and dim 8. Rows 0 and 2 share prefix P of 40 tokens, row 1 has Q of
17, row 3 has R of 300. Their own tokens, including the new one, are 5, 3, 9 and 1.

    own tokens   query (4, 2, 3, 8) over keys (4, 2, 9, 8), masked in rows with fewer than 9
                 -> output (4, 2, 3, 8) and weight (4, 2, 3, 1), the log of the sum of exponentiated scores
    bands        P has 2 rows, Q and R have one each. R is longer than 256 tokens and always alone; Q is the only
                 short prefix with one row, P the only one with two. So there are 3 bands, and nothing is copied.
    P's band     query of rows 0 and 2 as (1, 2, 2*3, 8) over keys (1, 2, 40, 8) -> (1, 2, 6, 8) -> by row (2, 2, 3, 8)
    merging      share = sigmoid(weight of P - weight of own) = exp(P) / (exp(P) + exp(own));
                 output of rows 0 and 2 = own + share * (P's - own)

If Q had 2 rows as well, P and Q would form one band: keys (2, 2, 40, 8), with Q's padded by zeros and masked from 17
on.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from service.engines.transformers.kv_cache import DecodeCache, KVCache

_SHORT = 256  # tokens; copying a longer prefix does not pay

_Group = tuple[KVCache, Tensor]  # a prefix and the rows that share it


class DecodePlan:
    """The plan of one step. Building it lengthens every row. `prefixes` holds the shared prefix of each row.

    `positions` (rows,) are those of the new tokens within their sequences.
    """

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
        """`query` (1, heads * group, rows, dim), `key` and `value` (1, heads, rows, dim) belong to the new tokens.
        Returns (rows, heads * group, dim)."""
        keys, values = self._cache.keys[layer], self._cache.values[layer]
        keys[self._rows, :, self._at] = key[0].transpose(0, 1)
        values[self._rows, :, self._at] = value[0].transpose(0, 1)
        count, heads = len(self._rows), keys.shape[1]
        query = query[0].transpose(0, 1).reshape(count, heads, -1, query.shape[3])  # (rows, heads, group, dim)
        own = slice(count), slice(None), slice(self._longest)
        output, weight = _attend(query, keys[own], values[own], scale, self._unseen[:, None, None])
        for band in self._bands:
            _join(output, weight, band.rows, *band.attend(layer, query, scale))
        return output.reshape(count, -1, output.shape[3])


class _Band:
    """Prefixes with similar row counts as one padded batch; a single one is not copied.

    `rows` (rows of the band,) are ordered by prefix. `_place` (prefixes, most) holds the rows of each prefix, filled up
    with its first row if it has fewer than `most`; `_used` (prefixes * most,) is False at these. `_keys` and `_values`
    are (layers, prefixes, heads, longest, dim).
    """

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
        """Output (rows, heads, group, dim) and weight (rows, heads, group, 1) for the band's `rows`. `query` (all rows,
        heads, group, dim) is that of the whole step."""
        count, most = self._place.shape
        _, heads, group, dim = query.shape
        asked = query[self._place.flatten()].view(count, most, heads, group, dim).transpose(1, 2)
        output, weight = _attend(
            asked.reshape(count, heads, most * group, dim), self._keys[layer], self._values[layer], scale, self._unseen
        )
        return self._by_row(output, most), self._by_row(weight, most)

    def _by_row(self, attended: Tensor, most: int) -> Tensor:
        """(prefixes, heads, most * group, width) -> (rows, heads, group, width)."""
        count, heads, both, width = attended.shape
        split = attended.view(count, heads, most, both // most, width).transpose(1, 2)
        return split.reshape(count * most, heads, both // most, width)[self._used]


def _join(output: Tensor, weight: Tensor, rows: Tensor, part: Tensor, part_weight: Tensor) -> None:
    """Merges a prefix's part into the output and weight of `rows`, which so far cover their own tokens."""
    share = torch.sigmoid(part_weight - weight[rows]).to(output.dtype)
    output[rows] = torch.lerp(output[rows], part, share)


def _grouped(prefixes: Sequence[KVCache]) -> list[_Group]:
    rows: dict[int, list[int]] = {}
    for row, prefix in enumerate(prefixes):
        rows.setdefault(id(prefix), []).append(row)
    return [(prefixes[members[0]], torch.tensor(members)) for members in rows.values()]


def _banded(groups: Sequence[_Group]) -> list[_Band]:
    """Bands of prefixes whose row counts differ by a factor below two; a long prefix has its own band."""
    bands: dict[int, list[_Group]] = {}
    alone: list[list[_Group]] = []
    for prefix, rows in groups:
        if 0 < prefix.length <= _SHORT:
            bands.setdefault((len(rows) - 1).bit_length(), []).append((prefix, rows))
        else:
            alone.append([(prefix, rows)])
    return [_Band(band) for band in (*bands.values(), *alone)]


def _side_by_side(held: Sequence[Tensor], lengths: Sequence[int]) -> Tensor:
    """Stacks (layers, 1, heads, capacity, dim) each into (layers, all, heads, longest, dim), with zeros after each
    prefix's tokens."""
    if len(held) == 1:
        return held[0][:, :, :, : lengths[0]]
    layers, _, heads, _, dim = held[0].shape
    laid = held[0].new_empty(layers, len(held), heads, max(lengths), dim)
    for at, (tensor, length) in enumerate(zip(held, lengths, strict=True)):
        laid[:, at, :, :length] = tensor[:, 0, :, :length]
        laid[:, at, :, length:] = 0  # not NaN: a masked NaN would still propagate
    return laid


def _attend(
    query: Tensor, keys: Tensor, values: Tensor, scale: float, unseen: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Attended values (batch, heads, queries, dim), and the log of the sum of exponentiated scores (batch, heads,
    queries, 1), with which two parts are merged. `query` is (batch, heads, queries, dim), `keys` and `values` (batch,
    heads, tokens, dim). `unseen`, broadcastable to (batch, heads, queries, tokens), is True where a token must not be
    attended to."""
    scores = (query @ keys.transpose(-2, -1)).float() * scale
    if unseen is not None:
        scores = scores.masked_fill(unseen, float("-inf"))
    weight = torch.logsumexp(scores, dim=-1, keepdim=True)
    return torch.exp(scores - weight).to(values.dtype) @ values, weight
