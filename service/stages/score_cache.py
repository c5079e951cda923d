"""Scores that were computed before, bounded in bytes. It holds numbers and hashes, and no text.

A score is named by two keyed hashes of 128 bits, one of everything that changes the scores of a call and one of the
document. The hashes' key is random and of this process, so a caller cannot make two texts that share a name.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

from contract.reasoning import Status
from service.ranking import Chunk, Verdict

ENTRY_BYTES = 320  # of one score with its name, in CPython; a test measures it
_HASH_BYTES = 16
# Log-odds, relevance, label mass, tokens of the prompt, begin and end of the best chunk; then whether the passage was
# cut, whether it was read in pieces, and which of relevance, mass and chunk are there.
_PACKED = struct.Struct("<dddIII?????")


class ScoreCache:
    """At most `limit` bytes of scores; the one that nobody asked for the longest goes first. Runs on one event loop."""

    def __init__(self, limit: int) -> None:
        self._most = max(1, limit // ENTRY_BYTES)
        self._secret = secrets.token_bytes(32)
        self._scores: OrderedDict[bytes, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._scores)

    @property
    def held_bytes(self) -> int:
        """What is held, as it is counted against the limit."""
        return len(self._scores) * ENTRY_BYTES

    def names(self, context: str, passages: Iterable[str]) -> list[bytes]:
        """The name of each passage's score. `context`: everything else that changes it."""
        begin = self._hash(context)
        return [begin + self._hash(passage) for passage in passages]

    def get(self, name: bytes, index: int) -> Verdict | None:
        """The verdict on the document `index` of a call; None where it is not known."""
        packed = self._scores.get(name)
        if packed is None:
            return None
        self._scores.move_to_end(name)
        return _unpacked(packed, index)

    def put(self, name: bytes, verdict: Verdict) -> None:
        """Keeps a verdict, unless it says more than can be kept."""
        packed = _pack(verdict)
        if _unpacked(packed, verdict.index) != replace(verdict, cached_tokens=verdict.prompt_tokens, cached=True):
            return
        self._scores[name] = packed
        if len(self._scores) > self._most:
            self._scores.popitem(last=False)

    def _hash(self, text: str) -> bytes:
        content = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(content, digest_size=_HASH_BYTES, key=self._secret).digest()


def _pack(verdict: Verdict) -> bytes:
    relevance, mass, chunk = verdict.own_relevance, verdict.label_mass, verdict.chunk
    return _PACKED.pack(
        verdict.log_odds,
        relevance or 0.0,
        mass or 0.0,
        verdict.prompt_tokens,
        0 if chunk is None else chunk.start,
        0 if chunk is None else chunk.end,
        verdict.truncated,
        verdict.told_tokens is not None,
        relevance is not None,
        mass is not None,
        chunk is not None,
    )


def _unpacked(packed: bytes, index: int) -> Verdict:
    """No token of it was computed again."""
    log_odds, relevance, mass, tokens, start, end, truncated, in_pieces, *there = _PACKED.unpack(packed)
    has_relevance, has_mass, has_chunk = there
    return Verdict(
        index=index,
        log_odds=log_odds,
        status=Status.COMPLETE,
        reasoning=None,
        prompt_tokens=tokens,
        cached_tokens=tokens,
        reasoning_tokens=0,
        truncated=truncated,
        own_relevance=relevance if has_relevance else None,
        label_mass=mass if has_mass else None,
        chunk=Chunk(start, end) if has_chunk else None,
        told_tokens=0 if in_pieces else None,
        cached=True,
    )
