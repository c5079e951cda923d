"""Near-duplicates by MinHash LSH (datasketch; Broder 1997), with signatures and bands on disk.

Two records are near-duplicates if the Jaccard similarities of their queries (words, exact) and of their passages (runs
of three words, estimated) both reach the threshold and their instructions are equal: one passage under many queries is
wanted, and so is one pair under several instructions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Set
from dataclasses import dataclass

import numpy as np
from datasketch import MinHash, MinHashLSH  # type: ignore[import-untyped]  # no types
from numpy.typing import NDArray

from contract.records import Record
from retrieval.words import words
from synth.scratch import digest

_RUN = 3

Signature = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Pair:
    """The features by which two records are compared."""

    query: frozenset[str]
    passage: Signature

    def alike(self, other: _Pair, threshold: float) -> bool:
        shared = len(self.query & other.query) / (len(self.query | other.query) or 1)
        return shared >= threshold and float(np.mean(self.passage == other.passage)) >= threshold


class NearDuplicates:
    """Drops every record that is nearly the same as an earlier one that was kept.

    Bands combine values of the query's and the passage's signatures, so that a passage under a thousand queries does
    not give a thousand candidates. Memory is constant: `connection` is a scratch database.
    """

    name = "near-duplicate"

    def __init__(self, connection: sqlite3.Connection, *, threshold: float = 0.8, permutations: int = 128) -> None:
        self._connection = connection
        self._threshold = threshold
        self._empty = MinHash(num_perm=permutations)
        both = MinHashLSH(threshold=threshold**2, num_perm=permutations)
        self._bands, self._rows = both.b, both.r
        self._count = 0
        connection.execute("CREATE TABLE band (key BLOB, record INTEGER, PRIMARY KEY (key, record)) WITHOUT ROWID")
        connection.execute("CREATE TABLE pair (record INTEGER PRIMARY KEY, query TEXT, passage BLOB)")

    def reason(self, record: Record) -> str | None:
        query, passage = words(record.query.casefold()), words(record.passage.casefold())
        pair = _Pair(frozenset(query), self._signature(_runs(passage)))
        keys = self._keys(self._signature(pair.query), pair.passage, digest(record.instruction or ""))
        if any(pair.alike(earlier, self._threshold) for earlier in self._candidates(keys)):
            return "query and passage nearly the same as an earlier record's"
        self._keep(pair, keys)
        return None

    def _candidates(self, keys: list[bytes]) -> Iterator[_Pair]:
        marks = ",".join("?" * len(keys))
        among = f"SELECT DISTINCT record FROM band WHERE key IN ({marks})"  # noqa: S608 - question marks alone
        chosen = f"SELECT query, passage FROM pair WHERE record IN ({among})"  # noqa: S608
        for query, passage in self._connection.execute(chosen, keys):
            yield _Pair(frozenset(query.split()), np.frombuffer(passage, dtype=np.uint64))

    def _keep(self, pair: _Pair, keys: list[bytes]) -> None:
        self._count += 1
        row = (self._count, " ".join(sorted(pair.query)), pair.passage.tobytes())
        self._connection.execute("INSERT INTO pair VALUES (?, ?, ?)", row)
        self._connection.executemany("INSERT INTO band VALUES (?, ?)", [(key, self._count) for key in keys])

    def _keys(self, query: Signature, passage: Signature, instruction: bytes) -> list[bytes]:
        bands = [slice(band * self._rows, (band + 1) * self._rows) for band in range(self._bands)]
        return [
            digest(f"{place} {instruction.hex()}", query[band].tobytes().hex(), passage[band].tobytes().hex())
            for place, band in enumerate(bands)
        ]

    def _signature(self, parts: Set[str]) -> Signature:
        minhash = self._empty.copy()
        minhash.update_batch([part.encode("utf-8", "surrogatepass") for part in sorted(parts)])
        return np.asarray(minhash.hashvalues, dtype=np.uint64)


def _runs(found: list[str]) -> set[str]:
    return {" ".join(found[place : place + _RUN]) for place in range(max(1, len(found) - _RUN + 1))}
