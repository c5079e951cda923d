"""Pairs a query with passages: its source, some that share its words, and one that the bi-encoder finds similar."""

from __future__ import annotations

from collections.abc import Sequence

from retrieval.retriever import Hit
from synth.run.draws import draw

DEPTH = 40  # of the BM25 search
_BEST = 5  # of its hits: two of them are always taken, two more are drawn from the later ones
_FAR = 0.3  # share of the queries that get a passage drawn from all


def pairing(key: str, own: int, shared_words: Sequence[Hit], near: Sequence[Hit], size: int) -> list[int]:
    """Distinct indices of passages: `own`, the query's source; of BM25's hits the first two, and two drawn from the
    sixth on; the bi-encoder's best other one; and sometimes any of all `size`."""
    indexes = [hit.index for hit in shared_words if hit.index != own]
    chosen = [own, *indexes[:2], *_drawn(key, indexes[_BEST:])[:2]]
    chosen += [hit.index for hit in near if hit.index not in chosen][:1]
    far = int(draw(key, "far passage") * size)
    if draw(key, "far") < _FAR and far not in chosen:
        chosen.append(far)
    return chosen


def _drawn(key: str, indexes: Sequence[int]) -> list[int]:
    return sorted(indexes, key=lambda index: draw(key, "drawn", str(index)))
