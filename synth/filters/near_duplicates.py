"""Near-duplicates by MinHash LSH (datasketch; Broder 1997), with signatures and bands on the disk.

Two records are near-duplicates if the estimated Jaccard similarity of their queries (words) and of their passages
(runs of three words) both reach the threshold and their instructions are the same: one passage under many queries is
wanted, and so is one pair under several instructions.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

import numpy as np
from datasketch import MinHash, MinHashLSH  # type: ignore[import-untyped]  # it ships no types
from numpy.typing import NDArray

from contract.records import Record
from synth.scratch import digest

_WORD = re.compile(r"\w+")
_RUN = 3

Signature = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Signatures:
    query: Signature
    passage: Signature

    def as_bytes(self) -> bytes:
        return self.query.tobytes() + self.passage.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> _Signatures:
        both = np.frombuffer(data, dtype=np.uint64)
        return cls(both[: len(both) // 2], both[len(both) // 2 :])


class NearDuplicates:
    """Drops every record that is nearly the same as one that was kept before.

    A band holds values of the query's and of the passage's signature, so that a passage that stands under a thousand
    queries does not make a thousand candidates. Memory does not grow: `connection` is a scratch database.
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
        connection.execute("CREATE TABLE signature (record INTEGER PRIMARY KEY, value BLOB)")

    def reason(self, record: Record) -> str | None:
        signatures = _Signatures(
            self._signature(set(_words(record.query))), self._signature(_runs(_words(record.passage)))
        )
        keys = self._keys(signatures, digest(record.instruction or ""))
        if self._stands(signatures, keys):
            return "query and passage nearly the same as an earlier record's"
        self._keep(signatures, keys)
        return None

    def _stands(self, signatures: _Signatures, keys: list[bytes]) -> bool:
        marks = ",".join("?" * len(keys))
        candidates = self._connection.execute(
            f"SELECT value FROM signature WHERE record IN (SELECT DISTINCT record FROM band WHERE key IN ({marks}))",  # noqa: S608 - question marks alone
            keys,
        )
        return any(self._alike(signatures, _Signatures.from_bytes(value)) for (value,) in candidates)

    def _alike(self, one: _Signatures, other: _Signatures) -> bool:
        queries = float(np.mean(one.query == other.query))
        return queries >= self._threshold and float(np.mean(one.passage == other.passage)) >= self._threshold

    def _keep(self, signatures: _Signatures, keys: list[bytes]) -> None:
        self._count += 1
        self._connection.execute("INSERT INTO signature VALUES (?, ?)", (self._count, signatures.as_bytes()))
        self._connection.executemany("INSERT INTO band VALUES (?, ?)", [(key, self._count) for key in keys])

    def _keys(self, signatures: _Signatures, instruction: bytes) -> list[bytes]:
        return [
            digest(
                f"{band} {instruction.hex()}",
                signatures.query[band * self._rows : (band + 1) * self._rows].tobytes().hex(),
                signatures.passage[band * self._rows : (band + 1) * self._rows].tobytes().hex(),
            )
            for band in range(self._bands)
        ]

    def _signature(self, parts: set[str]) -> Signature:
        minhash = self._empty.copy()
        minhash.update_batch([part.encode("utf-8", "surrogatepass") for part in sorted(parts)])
        return np.asarray(minhash.hashvalues, dtype=np.uint64)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _runs(words: list[str]) -> set[str]:
    return {" ".join(words[place : place + _RUN]) for place in range(max(1, len(words) - _RUN + 1))}
