"""nDCG, MAP, MRR, recall and precision per query, by ir-measures (MacAvaney et al. 2022) over trec_eval.

Measures go by ir-measures' names: `nDCG@10`, `RR@10`, `AP@100`, `R@5`, `P@1`, with `(rel=2)` where only grades from 2
count as relevant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import ir_measures

from evaluation.errors import BadSettings
from retrieval.trec import Qrels, Run

PerQuery = dict[str, float]
"""query id -> value of one measure."""


def per_query(qrels: Qrels, run: Run, measures: Sequence[str]) -> dict[str, PerQuery]:
    """measure -> query -> value, for every query of `qrels`; one that the run lacks has 0.

    The scores of `run` decide, and ties as trec_eval breaks them: by descending document id. Give `by_order(run)`
    where the order of the documents should decide. Raises `BadSettings` for a name that is no measure.
    """
    parsed = {_parse(name): name for name in measures}
    values: dict[str, PerQuery] = {name: dict.fromkeys(qrels, 0.0) for name in measures}
    for found in ir_measures.iter_calc(list(parsed), _qrels(qrels), _run(qrels, run)):
        values[parsed[found.measure]][found.query_id] = float(found.value)
    return values


def by_order(run: Mapping[str, Sequence[str] | Mapping[str, float]]) -> Run:
    """Scores that fall by one from rank to rank, so that the order of the documents is the ranking, ties and all."""
    return {query: {document: -float(rank) for rank, document in enumerate(found)} for query, found in run.items()}


def oracle(qrels: Qrels, run: Run) -> Run:
    """The best order of a run's own documents: by grade. What a perfect reranker of these candidates would do."""
    return by_order(
        {
            query: sorted(documents, key=lambda document: -max(0, qrels.get(query, {}).get(document, 0)))
            for query, documents in run.items()
        }
    )


def mean(values: PerQuery) -> float:
    """The mean over queries; 0 of none."""
    return sum(values.values()) / len(values) if values else 0.0


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
