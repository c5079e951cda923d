"""Runs of n words as 64-bit hashes, and a sorted file of all hashes of a collection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from retrieval.words import words

Runs = NDArray[np.uint64]

_FACTOR = 0x9E3779B97F4A7C15  # odd, so that multiplication modulo 2^64 is reversible
_PARTS = 256
_BUFFERED = 1 << 20  # runs buffered in memory before they are written: 8 MiB


def word_runs(text: str, size: int) -> Runs:
    """The distinct runs of `size` words of a text, sorted; a shorter text is a single run."""
    found = words(text.casefold())
    if not found:
        return np.empty(0, dtype=np.uint64)
    numbers = np.fromiter((_number(word) for word in found), dtype=np.uint64, count=len(found))
    return np.unique(_windows(numbers, min(size, len(found))))


def _windows(numbers: Runs, size: int) -> Runs:
    with np.errstate(over="ignore"):
        total = np.full(len(numbers) - size + 1, size, dtype=np.uint64)
        for place in range(size):
            total = total * np.uint64(_FACTOR) + numbers[place : len(numbers) - size + 1 + place]
    return total


@lru_cache(maxsize=1 << 16)
def _number(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


class RunIndex:
    """The runs of a collection, in a sorted file that is memory-mapped."""

    def __init__(self, path: Path) -> None:
        self._runs: Runs = np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        return len(self._runs)

    def share(self, runs: Runs) -> float:
        """The share of `runs`, in [0, 1], that occur in the collection."""
        if not len(self._runs) or not len(runs):
            return 0.0
        places = np.minimum(np.searchsorted(self._runs, runs), len(self._runs) - 1)
        return float(np.mean(self._runs[places] == runs))


def build_run_index(texts: Iterable[str], size: int, common: int, folder: Path) -> RunIndex:
    """Indexes the runs of `texts`, without those that more than `common` texts share, in files under `folder`.

    Memory holds at most a buffer and one of 256 parts of the runs.
    """
    _scatter((word_runs(text, size) for text in texts), folder)
    counts: dict[Path, int] = {}
    for path in _parts(folder):
        if path.exists():
            runs = _uncommon(path, common)
            runs.tofile(path)
            counts[path] = len(runs)
    return _joined(folder, counts)


def _scatter(all_runs: Iterable[Runs], folder: Path) -> None:
    """Writes each run to the part of its top byte, so that the concatenation of the sorted parts is sorted."""
    buffer: list[Runs] = []
    buffered = 0
    for runs in all_runs:
        buffer.append(runs)
        buffered += len(runs)
        if buffered >= _BUFFERED:
            _append(np.concatenate(buffer), folder)
            buffer, buffered = [], 0
    if buffer:
        _append(np.concatenate(buffer), folder)


def _append(runs: Runs, folder: Path) -> None:
    runs.sort()
    bounds = np.searchsorted(runs >> np.uint64(56), np.arange(_PARTS + 1, dtype=np.uint64))
    for number, path in enumerate(_parts(folder)):
        if bounds[number] < bounds[number + 1]:
            with path.open("ab") as file:
                file.write(runs[bounds[number] : bounds[number + 1]].tobytes())


def _uncommon(path: Path, common: int) -> Runs:
    runs, counts = np.unique(np.fromfile(path, dtype=np.uint64), return_counts=True)
    return runs[counts <= common]


def _joined(folder: Path, counts: Mapping[Path, int]) -> RunIndex:
    path = folder / "runs.npy"
    joined = open_memmap(path, mode="w+", dtype=np.uint64, shape=(sum(counts.values()),))  # type: ignore[no-untyped-call]
    start = 0
    for part, count in counts.items():
        joined[start : start + count] = np.fromfile(part, dtype=np.uint64)
        start += count
        part.unlink()
    joined.flush()
    return RunIndex(path)


def _parts(folder: Path) -> Iterator[Path]:
    return (folder / f"part-{number:03d}" for number in range(_PARTS))
