"""nDCG, MAP, MRR, recall and precision per query, by ir-measures (MacAvaney et al. 2022) over trec_eval; and p-MRR.

Measures have ir-measures' names: `nDCG@10`, `RR@10`, `AP@100`, `R@5`, `P@1`, with `(rel=2)` when only grades from 2
count as relevant.

p-MRR is FollowIR's measure of whether a ranking follows a changed instruction (Weller et al. 2024, arXiv 2403.15246).
Each query is ranked under its original and under an altered instruction. Some documents are relevant under the first
but not under the second, so they should fall. With MRR = 1 / rank of one such document,

    p-MRR = MRR_original / MRR_altered - 1   if it rose (between -1 and 0)
            1 - MRR_altered / MRR_original   if it fell or stayed (between 0 and 1)

averaged over the documents of a query, then over the queries. 1 means perfect compliance, 0 no effect, -1 the opposite;
papers print it times 100.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import ir_measures

from evaluation.errors import BadSettings
from retrieval.trec import Qrels, Run

PerQuery = dict[str, float]
"""query id -> value of one measure."""


def per_query(qrels: Qrels, run: Run, measures: Sequence[str]) -> dict[str, PerQuery]:
    """measure -> query -> value, for every query of `qrels`; 0 for one that the run lacks.

    Documents are ranked by their scores in `run`, and ties by descending document id, as in trec_eval. Pass
    `by_order(run)` to rank them in the given order instead. Raises `BadSettings` for an unknown measure.
    """
    parsed = {_parse(name): name for name in measures}
    values: dict[str, PerQuery] = {name: dict.fromkeys(qrels, 0.0) for name in measures}
    for found in ir_measures.iter_calc(list(parsed), _qrels(qrels), _run(qrels, run)):
        values[parsed[found.measure]][found.query_id] = float(found.value)
    return values


def by_order(run: Mapping[str, Sequence[str] | Mapping[str, float]]) -> Run:
    """Scores that fall by one per rank, so that the order of the documents is the ranking."""
    return {query: {document: -float(rank) for rank, document in enumerate(found)} for query, found in run.items()}


def oracle(qrels: Qrels, run: Run) -> Run:
    """The best order of a run's own documents, by grade: a perfect reranker of these candidates."""
    return by_order(
        {
            query: sorted(documents, key=lambda document: -max(0, qrels.get(query, {}).get(document, 0)))
            for query, documents in run.items()
        }
    )


def mean(values: PerQuery) -> float:
    """The mean over queries; 0 if there are none."""
    return sum(values.values()) / len(values) if values else 0.0


def p_mrr(
    original: Mapping[str, Sequence[str]], altered: Mapping[str, Sequence[str]], changed: Mapping[str, Sequence[str]]
) -> PerQuery:
    """query -> p-MRR. The rankings are lists of document ids, best first, keyed by the same query ids as `changed`.

    A document missing from a ranking ranks one place after its end. A query without both rankings or without a changed
    document has no value.
    """
    values = {}
    for query, documents in changed.items():
        if query not in original or query not in altered or not documents:
            continue
        moves = [_move(rank_of(original[query], document), rank_of(altered[query], document)) for document in documents]
        values[query] = sum(moves) / len(moves)
    return values


def rank_of(ranking: Sequence[str], document: str) -> int:
    """The rank of a document, from 1; one after the last if it is missing."""
    return ranking.index(document) + 1 if document in ranking else len(ranking) + 1


def _move(before: int, after: int) -> float:
    return after / before - 1 if before > after else 1 - before / after


def _parse(name: str) -> ir_measures.Measure:
    try:
        return ir_measures.parse_measure(name)
    except (NameError, ValueError, SyntaxError):
        raise BadSettings(f"'{name}' is no measure; write it as ir-measures does, such as nDCG@10 or R@5.") from None


def _qrels(qrels: Qrels) -> Iterator[ir_measures.Qrel]:
    for query, documents in qrels.items():
        for document, grade in documents.items():
            yield ir_measures.Qrel(query, document, grade)


def _run(qrels: Qrels, run: Run) -> Iterator[ir_measures.ScoredDoc]:
    for query in qrels:
        for document, score in run.get(query, {}).items():
            yield ir_measures.ScoredDoc(query, document, score)
