"""Keys and values of tokens computed before, so that no token of a shared prefix is computed twice."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_ROUND_TO = 128  # capacities are multiples of this, so that a cache is not grown for every few tokens


@dataclass(frozen=True, slots=True)
class CacheShape:
    """What one token's keys and values take: `heads` are key/value heads, which may be fewer than query heads."""

    layers: int
    heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - it cannot be changed

    @property
    def bytes_per_token(self) -> int:
        return 2 * self.layers * self.heads * self.head_dim * self.dtype.itemsize

    def empty(self, rows: int, tokens: int) -> Tensor:
        """An uninitialised tensor (layers, rows, heads, tokens, head_dim)."""
        return torch.empty(self.layers, rows, self.heads, tokens, self.head_dim, dtype=self.dtype, device=self.device)


class KVCache:
    """The first `length` tokens of one sequence, with room behind them in which a passage may be laid for one pass.

    `keys` and `values` are (layers, 1, heads, capacity, head_dim).
    """

    def __init__(self, shape: CacheShape, capacity: int = 0) -> None:
        self.shape = shape
        self.length = 0
        self.keys = shape.empty(1, capacity)
        self.values = shape.empty(1, capacity)

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    @property
    def size(self) -> int:
        """Bytes held."""
        return self.capacity * self.shape.bytes_per_token

    def reserve(self, tokens: int) -> None:
        """Make room for `tokens` behind the first `length`."""
        needed = self.length + tokens
        if needed > self.capacity:
            capacity = _rounded(needed)
            self.keys = _widened(self.keys, self.shape.empty(1, capacity), self.length)
            self.values = _widened(self.values, self.shape.empty(1, capacity), self.length)

    def copy(self, room: int) -> KVCache:
        """The same tokens in a cache of their own that has room for `room` more."""
        copied = KVCache(self.shape, self.length + room)
        _widened(self.keys, copied.keys, self.length)
        _widened(self.values, copied.values, self.length)
        copied.length = self.length
        return copied


class DecodeCache:
    """Keys and values of the sequences that are being decoded, one row each; row `i` holds `lengths[i]` tokens.

    The rows in use are always the first `count`, so that a decoding step sees them without copying.
    `keys` and `values` are (layers, rows, heads, capacity, head_dim). Rows are allocated ahead as long as all of them
    take no more than `most_bytes`.
    """

    def __init__(self, shape: CacheShape, most_bytes: int | None = None) -> None:
        self.shape = shape
        self._most_bytes = most_bytes
        self.lengths: list[int] = []
        self.keys = shape.empty(0, 0)
        self.values = shape.empty(0, 0)

    @property
    def count(self) -> int:
        return len(self.lengths)

    def size_with(self, rows: int, tokens: int) -> int:
        """Bytes that are needed with `rows` more rows, each of `tokens` tokens at most."""
        capacity = max(_rounded(tokens), self.keys.shape[3])
        return (self.count + rows) * capacity * self.shape.bytes_per_token

    def add(self, tokens: int) -> int:
        """A new, empty row with room for `tokens` tokens; returns its number."""
        rows, capacity = self.keys.shape[1], self.keys.shape[3]
        if tokens > capacity:  # what is not in use is not widened: a row more for each that is needed comes soon enough
            self._resize(self.count + 1, _rounded(tokens))
        elif self.count == rows:
            self._resize(self._ahead(min(2 * rows, rows + 16), capacity), capacity)
        self.lengths.append(0)
        return self.count - 1

    def drop(self, row: int) -> None:
        """Free `row`; the last row in use takes its number."""
        last = self.count - 1
        if row != last:
            length = self.lengths[last]
            self.keys[:, row, :, :length] = self.keys[:, last, :, :length]
            self.values[:, row, :, :length] = self.values[:, last, :, :length]
            self.lengths[row] = length
        self.lengths.pop()
        if not self.lengths:
            self.keys = self.values = self.shape.empty(0, 0)

    def _ahead(self, wanted: int, capacity: int) -> int:
        """How many rows to have of those `wanted`: one more than are in use at least."""
        if self._most_bytes is not None:
            wanted = min(wanted, self._most_bytes // (capacity * self.shape.bytes_per_token))
        return max(self.count + 1, wanted)

    def _resize(self, rows: int, capacity: int) -> None:
        """Zeros, and not what memory happens to hold: a masked NaN would still spoil what it is added to."""
        for name in ("keys", "values"):
            old, new = getattr(self, name), self.shape.empty(rows, capacity).zero_()
            new[:, : self.count, :, : old.shape[3]] = old[:, : self.count]
            setattr(self, name, new)


def _rounded(tokens: int) -> int:
    return -(-tokens // _ROUND_TO) * _ROUND_TO


def _widened(old: Tensor, new: Tensor, length: int) -> Tensor:
    new[:, :, :, :length] = old[:, :, :, :length]
    return new
