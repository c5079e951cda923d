"""p-MRR, FollowIR's measure of whether a ranking obeys a changed instruction (Weller et al. 2024, arXiv 2403.15246).

Each query is ranked under its original and under an altered instruction. Some documents are relevant under the first
and not under the second: they should fall. With MRR = 1 / rank of one such document,

    p-MRR = MRR_original / MRR_altered - 1   where it rose (between -1 and 0)
            1 - MRR_altered / MRR_original   where it fell or stayed (between 0 and 1)

averaged over the documents of a query, then over the queries. 1 is perfect obedience, 0 none, -1 the opposite; papers
print it times 100.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def p_mrr(
    original: Mapping[str, Sequence[str]], altered: Mapping[str, Sequence[str]], changed: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """query -> p-MRR. The rankings are lists of document ids, best first, keyed by the same query ids as `changed`.

    A document that a ranking lacks counts as standing right behind its end. A query that lacks either ranking, or that
    has no changed document, has no value.
    """
    values = {}
    for query, documents in changed.items():
        if query not in original or query not in altered or not documents:
            continue
        moves = [_move(rank(original[query], one), rank(altered[query], one)) for one in documents]
        values[query] = sum(moves) / len(moves)
    return values


def rank(ranking: Sequence[str], document: str) -> int:
    """The rank of a document, from 1; one behind the last where it is not there."""
    return ranking.index(document) + 1 if document in ranking else len(ranking) + 1


def _move(before: int, after: int) -> float:
    return after / before - 1 if before > after else 1 - before / after
