"""Keys and values of computed tokens, so that no token of a shared prefix is computed twice."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_ROUND_TO = 128  # capacities are multiples of this, so that caches grow rarely


@dataclass(frozen=True, slots=True)
class CacheShape:
    """The shape of one token's keys and values. `heads` are key/value heads, of which there may be fewer than query
    heads."""

    layers: int
    heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable

    @property
    def bytes_per_token(self) -> int:
        return 2 * self.layers * self.heads * self.head_dim * self.dtype.itemsize

    def empty(self, rows: int, tokens: int) -> Tensor:
        """An uninitialised tensor (layers, rows, heads, tokens, head_dim)."""
        return torch.empty(self.layers, rows, self.heads, tokens, self.head_dim, dtype=self.dtype, device=self.device)


class KVCache:
    """The first `length` tokens of one sequence, with room after them for a passage during one forward pass.

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
        """Makes room for `tokens` after the first `length`."""
        needed = self.length + tokens
        if needed > self.capacity:
            capacity = _rounded(needed)
            self.keys = _widened(self.keys, self.shape.empty(1, capacity), self.length)
            self.values = _widened(self.values, self.shape.empty(1, capacity), self.length)

    def copy(self, room: int) -> KVCache:
        """A copy with room for `room` more tokens."""
        copied = KVCache(self.shape, self.length + room)
        _widened(self.keys, copied.keys, self.length)
        _widened(self.values, copied.values, self.length)
        copied.length = self.length
        return copied


class DecodeCache:
    """Keys and values of the sequences being decoded, one row each; row `i` holds `lengths[i]` tokens.

    The rows in use are always the first `count`, so that a decoding step needs no copy. `keys` and `values` are
    (layers, rows, heads, capacity, head_dim). Rows are allocated in advance as long as all of them take at most
    `most_bytes`.
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
        """Bytes needed with `rows` more rows of at most `tokens` tokens each."""
        capacity = max(_rounded(tokens), self.keys.shape[3])
        return (self.count + rows) * capacity * self.shape.bytes_per_token

    def add(self, tokens: int) -> int:
        """Adds an empty row with room for `tokens` tokens and returns its index."""
        rows, capacity = self.keys.shape[1], self.keys.shape[3]
        if tokens > capacity:  # unused rows are not widened; later ones are added as needed
            self._resize(self.count + 1, _rounded(tokens))
        elif self.count == rows:
            self._resize(self._ahead(min(2 * rows, rows + 16), capacity), capacity)
        self.lengths.append(0)
        return self.count - 1

    def drop(self, row: int) -> None:
        """Frees `row`; the last row in use takes its index."""
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
        """How many of the `wanted` rows to allocate: at least one more than are in use."""
        if self._most_bytes is not None:
            wanted = min(wanted, self._most_bytes // (capacity * self.shape.bytes_per_token))
        return max(self.count + 1, wanted)

    def _resize(self, rows: int, capacity: int) -> None:
        """Allocates zeros rather than uninitialised memory: a masked NaN would still propagate."""
        for name in ("keys", "values"):
            old, new = getattr(self, name), self.shape.empty(rows, capacity).zero_()
            new[:, : self.count, :, : old.shape[3]] = old[:, : self.count]
            setattr(self, name, new)


def _rounded(tokens: int) -> int:
    return -(-tokens // _ROUND_TO) * _ROUND_TO


def _widened(old: Tensor, new: Tensor, length: int) -> Tensor:
    new[:, :, :, :length] = old[:, :, :, :length]
    return new
