"""Attention of a decoding step: one new token for each trace, over its call's shared prefix and its own tokens.

Both parts are attended to separately and joined by their log-sum-exps, so that a prefix is read once per step for all
its traces. Prefixes of about as many traces each are laid side by side for the step, as one operation for all of them
costs less than a few for each; a long one, and one that is alone in this, is not copied.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from service.key_values import KeyValues, TraceSlots

_SHORT = 256  # tokens; a longer prefix is not worth a copy

_Group = tuple[KeyValues, Tensor]  # a prefix and the rows that share it


class DecodePlan:
    """The plan of one step; building it lengthens every row. `prefixes` has the shared prefix of each row."""

    def __init__(self, prefixes: Sequence[KeyValues], slots: TraceSlots) -> None:
        self._slots = slots
        self._rows = torch.arange(slots.count)
        self._at = torch.tensor(slots.lengths)
        self._longest = max(slots.lengths) + 1
        self._unseen = torch.arange(self._longest) > self._at[:, None]
        self._bands, self._groups = _parted(_grouped(prefixes))
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
        for band in self._bands:
            _join(output, weight, band.rows, *band.attend(layer, query, scale))
        for prefix, rows in self._groups:
            shared = prefix.keys[layer, 0, :, : prefix.length], prefix.values[layer, 0, :, : prefix.length]
            _join(output, weight, rows, *_attend_shared(query[rows], *shared, scale))
        return output.reshape(count, -1, output.shape[3])


class _SideBySide:
    """Prefixes of like many rows as one padded batch. `rows`: the rows of all of them, prefix by prefix."""

    def __init__(self, groups: Sequence[_Group]) -> None:
        longest, most = max(prefix.length for prefix, _ in groups), max(len(rows) for _, rows in groups)
        self.rows = torch.cat([rows for _, rows in groups])
        self._place = torch.stack([torch.cat([rows, rows[:1].expand(most - len(rows))]) for _, rows in groups])
        self._used = (torch.arange(most) < torch.tensor([len(rows) for _, rows in groups])[:, None]).flatten()
        lengths = torch.tensor([prefix.length for prefix, _ in groups])
        self._unseen = (torch.arange(longest) >= lengths[:, None])[:, None, None]
        shape = groups[0][0].shape
        self._keys, self._values = shape.empty(len(groups), longest), shape.empty(len(groups), longest)
        for at, (prefix, _) in enumerate(groups):
            for laid, held in ((self._keys, prefix.keys), (self._values, prefix.values)):
                laid[:, at, :, : prefix.length] = held[:, 0, :, : prefix.length]
                laid[:, at, :, prefix.length :] = 0  # a masked NaN would still spoil what it is added to

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


def _grouped(prefixes: Sequence[KeyValues]) -> list[_Group]:
    rows: dict[int, list[int]] = {}
    for row, prefix in enumerate(prefixes):
        rows.setdefault(id(prefix), []).append(row)
    return [(prefixes[members[0]], torch.tensor(members)) for members in rows.values()]


def _parted(groups: Sequence[_Group]) -> tuple[list[_SideBySide], list[_Group]]:
    """Those that are laid side by side, in bands whose row counts differ by less than twice; and the others."""
    bands: dict[int, list[_Group]] = {}
    for prefix, rows in groups:
        band = (len(rows) - 1).bit_length() if 0 < prefix.length <= _SHORT else -1
        bands.setdefault(band, []).append((prefix, rows))
    others = bands.pop(-1, [])
    others += [band[0] for band in bands.values() if len(band) == 1]
    return [_SideBySide(band) for band in bands.values() if len(band) > 1], others


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
