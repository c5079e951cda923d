"""Chooses negatives from a first stage's hits: not relevant, not repeated, and not so similar that they may be
relevant."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from contract.records import NegativeType
from retrieval.retriever import Hit


@dataclass(frozen=True, slots=True)
class MinedNegative:
    """A passage by its index, and the first stage that found it (`BM25` or `BI_ENCODER`)."""

    index: int
    found_by: NegativeType


def mine_negatives(
    hits: Mapping[NegativeType, Sequence[Hit]],
    positives: Collection[int],
    count: int,
    *,
    barred: Collection[int] = (),
    ceiling: float = 0.95,
) -> list[MinedNegative]:
    """Up to `count` negatives; the first stages take turns, each from its best hit down.

    Skips a hit that the bi-encoder scores above `ceiling` times its best score for a positive, whichever stage found
    it: it is probably an unlabelled answer (TopK-PercPos, Moreira et al. 2024, arXiv 2407.15831). When the bi-encoder
    found no positive, all its hits are above and are skipped. `barred` are further indices that must not be used.
    """
    passed_over = set(positives) | set(barred) | _too_close(hits.get(NegativeType.BI_ENCODER, ()), positives, ceiling)
    turns = [
        [MinedNegative(hit.index, found_by) for hit in found if hit.index not in passed_over]
        for found_by, found in hits.items()
    ]
    mined: dict[int, MinedNegative] = {}
    for turn in zip_longest(*turns):
        for negative in turn:
            if negative is not None and len(mined) < count:
                mined.setdefault(negative.index, negative)
    return list(mined.values())


def _too_close(hits: Sequence[Hit], positives: Collection[int], ceiling: float) -> set[int]:
    best = max((hit.score for hit in hits if hit.index in positives), default=None)
    if best is None:
        return {hit.index for hit in hits} if positives else set()
    return {hit.index for hit in hits if hit.score > ceiling * best}
