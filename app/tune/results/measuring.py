"""Ranks the held-out queries' candidates: by the first stages, by the model as shipped, and by the new one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.tune.documents.passages import Passage
from app.tune.groups.candidates import RERANKED, Found
from app.tune.queries.made import Query
from app.tune.results.fusing import Scores, fitted_weight, fused_order
from app.tune.results.score_log import ScoreLog
from app.tune.results.systems import ALONE, BM25, FUSED, MEASURE, NEAR, NEW, SHIPPED, SHIPPED_FUSED
from contract.truncation import position_count
from evaluation.metrics import PerQuery, by_order, mean, oracle, per_query
from evaluation.significance import interval, paired
from trainer.cross_encoder.model import PairScorer, load_encoder, load_pair_encoder, network

LONGEST = 512  # tokens of a pair; passages are as long as they were split
_PAIRS_AT_ONCE = 8
_SHOWN = 3  # passages of a ranking
_EXTREMES = 5  # queries with the largest gains, and with the largest losses
Rankings = dict[str, dict[str, list[str]]]
"""system -> query -> passages, best first."""


@dataclass(frozen=True, slots=True)
class Case:
    """A held-out query, its candidates from the first stages, and the texts they are."""

    query: Query
    found: Found


def scored(
    cases: Sequence[Case],
    passages: Sequence[Passage],
    models: Mapping[str, Path],
    log: ScoreLog,
    report: Callable[[int, int], None],
) -> dict[str, dict[str, dict[str, float]]]:
    """system -> query -> passage -> score, of every model on the best candidates of both first stages, fused. What
    `log` knows is not scored again, and what is scored is added to it."""
    left = [(name, case) for name in models for case in cases if (name, case.query.id) not in log.known]
    total = len(models) * len(cases)
    scorers: dict[str, PairScorer] = {}
    for number, (name, case) in enumerate(left, start=1 + total - len(left)):
        if name not in scorers:
            scorers = {name: _scorer(models[name])}  # one model in memory at a time
        log.add(name, case.query.id, _scores(scorers[name], case, passages))
        report(number, total)
    return {name: {case.query.id: log.known[name, case.query.id] for case in cases} for name in models}


def first_stage_scores(cases: Sequence[Case], passages: Sequence[Passage]) -> dict[str, dict[str, float]]:
    """query -> passage -> score by both first stages, fused."""
    return {
        case.query.id: {passages[index].id: score for index, score in case.found.fused_scores().items()}
        for case in cases
    }


def rankings(
    cases: Sequence[Case],
    passages: Sequence[Passage],
    scores: Mapping[str, Mapping[str, Scores]],
    weights: Mapping[str, float],
) -> Rankings:
    """The rankings of all systems. `scores` of the models and `weights` of the first stages' scores beside them, by
    system; a model with a weight above 0 is ranked with and without them."""
    given = first_stage_scores(cases, passages)
    found: Rankings = {
        BM25: {case.query.id: _ids(passages, [hit.index for hit in case.found.bm25]) for case in cases},
        NEAR: {case.query.id: _ids(passages, [hit.index for hit in case.found.bi_encoder]) for case in cases},
        FUSED: {case.query.id: _ids(passages, case.found.fused()) for case in cases},
        SHIPPED: _order(cases, scores[SHIPPED], given, 0.0),
    }
    if weights[SHIPPED]:
        found[SHIPPED_FUSED] = _order(cases, scores[SHIPPED], given, weights[SHIPPED])
    if weights[NEW]:
        found[ALONE] = _order(cases, scores[NEW], given, 0.0)
    return found | {NEW: _order(cases, scores[NEW], given, weights[NEW])}


def weights_of(
    reserved: Sequence[Case], passages: Sequence[Passage], scores: Mapping[str, Mapping[str, Scores]]
) -> dict[str, float]:
    """The weight of the first stages' scores beside each model's, fitted on queries that nothing was trained on."""
    given = first_stage_scores(reserved, passages)
    qrels = {case.query.id: case.query.relevant for case in reserved}
    return {name: fitted_weight(of_model, given, qrels) for name, of_model in scores.items()}


def measured(
    cases: Sequence[Case], passages: Sequence[Passage], found: Rankings, weights: Mapping[str, float]
) -> dict[str, Any]:
    """The figures of all systems, and how the new model stands to each of the others."""
    documents = {passage.id: passage.document for passage in passages}
    qrels = {case.query.id: dict(case.query.relevant) for case in cases}
    by_document = {case.query.id: case.query.by_document for case in cases}
    units = {
        system: {query: _units(ranked, documents, by_document[query]) for query, ranked in of_system.items()}
        for system, of_system in found.items()
    }
    values: dict[str, PerQuery] = {
        system: per_query(qrels, by_order(ranked), [MEASURE])[MEASURE] for system, ranked in units.items()
    }
    best = mean(per_query(qrels, oracle(qrels, by_order(_cut(units[FUSED]))), [MEASURE])[MEASURE])
    others = [system for system in found if system != NEW]
    against = {system: asdict(paired(values[NEW], values[system])) for system in others}
    before = [system for system in others if system != ALONE]
    rival = max(before, key=lambda system: (mean(values[system]), -before.index(system)))
    return {
        "measure": MEASURE,
        "queries": len(cases),
        "reranked": RERANKED,
        "weights": dict(weights),
        "systems": {system: asdict(interval(list(of_system.values()))) for system, of_system in values.items()},
        "best_possible": best,
        "against": against,
        "rival": rival,
        "values": values,
    }


def extremes(
    cases: Sequence[Case], passages: Sequence[Passage], found: Rankings, figures: Mapping[str, Any]
) -> list[Any]:
    """The queries that gained and lost the most against the best of the others, with what stood on top of both."""
    rival, values = figures["rival"], figures["values"]
    texts = {passage.id: passage for passage in passages}
    change = {case.query.id: values[NEW][case.query.id] - values[rival][case.query.id] for case in cases}
    ranked = sorted(cases, key=lambda case: (-change[case.query.id], case.query.id))
    gains = [case for case in ranked if change[case.query.id] > 0][:_EXTREMES]
    losses = [case for case in reversed(ranked) if change[case.query.id] < 0][:_EXTREMES]
    return [
        {
            "query": case.query.text,
            "kind": case.query.kind,
            "change": round(change[case.query.id], 4),
            "gain": change[case.query.id] > 0,
            "before": [_shown(texts[name], case.query) for name in found[rival][case.query.id][:_SHOWN]],
            "after": [_shown(texts[name], case.query) for name in found[NEW][case.query.id][:_SHOWN]],
        }
        for case in (*gains, *losses)
    ]


def _scorer(folder: Path) -> PairScorer:
    """Scores pairs as the service does, a few of like length at a time."""
    model = load_encoder(folder, seed=0, train_embeddings=False)
    return PairScorer(model, load_pair_encoder(folder, min(LONGEST, position_count(network(model)))), _PAIRS_AT_ONCE)


def _scores(scorer: PairScorer, case: Case, passages: Sequence[Passage]) -> dict[str, float]:
    candidates = [passages[index] for index in case.found.fused()[:RERANKED]]
    if not candidates:
        return {}
    found = scorer.score(case.query.text, [each.text for each in candidates])
    return {candidate.id: score for candidate, score in zip(candidates, found, strict=True)}


def _order(
    cases: Sequence[Case], own: Mapping[str, Scores], given: Mapping[str, Scores], weight: float
) -> dict[str, list[str]]:
    return {case.query.id: fused_order(own[case.query.id], given[case.query.id], weight) for case in cases}


def _ids(passages: Sequence[Passage], indexes: Sequence[int]) -> list[str]:
    return [passages[index].id for index in indexes]


def _units(ranked: Sequence[str], documents: Mapping[str, str], by_document: bool) -> list[str]:
    """What the judgements are on: passages, or documents in the order of their best passages."""
    return list(dict.fromkeys(documents[name] for name in ranked)) if by_document else list(ranked)


def _cut(ranked: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {query: names[:RERANKED] for query, names in ranked.items()}


def _shown(passage: Passage, query: Query) -> dict[str, Any]:
    name = passage.document if query.by_document else passage.id
    where = " / ".join([passage.document, *passage.headings])
    return {"where": where, "text": passage.text, "relevant": bool(query.relevant.get(name))}
