"""Score files of two models in place of recorded traces: the policy of adaptive mode, replayed on models of others.

Cheap scores stand for direct verdicts, expensive ones for verdicts behind a trace. Every expensive score costs the
same, and nothing is read on the way to it, so there are no early stops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from contract.adaptive.parameters import Parameters
from contract.reasoning import Status
from evaluation.adaptive import fitting
from evaluation.adaptive.replay import Replayed
from evaluation.adaptive.traces import RecordedQuery, RecordedTrace
from evaluation.errors import BadData
from retrieval.trec import Qrels, Run

SCORES = "expensive scores"
# A race counts in tokens, and one more for each verdict that it may have to ask for. So a score costs a thousand: 999
# and the one that is kept back. What is left over of a budget for fewer than a thousand scores never pays for another.
COST = 1000
MOST_DOCUMENTS = COST - 1
_TRACE = COST - 1
_NEAREST = 1e-9  # to 0 and 1: single precision rounds probabilities to these


def score_pairs(direct: Run, reasoned: Run, qrels: Qrels, depth: int) -> list[RecordedQuery]:
    """The judged queries, each with its best `depth` documents by the direct score.

    Scores that are all between 0 and 1 are taken as probabilities, and become log-odds, which a calibration is linear
    in. Raises BadData unless the runs score the same pairs, each with scores of its own.
    """
    direct, reasoned = (_judged(run, qrels) for run in (direct, reasoned))
    shared = sum(len(direct.get(query, {}).keys() & found.keys()) for query, found in reasoned.items())
    if not shared:
        raise BadData("The runs share no pair of a judged query and a document; name two over the same candidates.")
    cut = {query: dict(list(found.items())[:depth]) for query, found in direct.items()}
    _check_pairs(cut, reasoned, "--reasoned-run")
    _check_pairs(reasoned, direct, "--direct-run")
    _check_scores(direct, "--direct-run")
    _check_scores(reasoned, "--reasoned-run")
    if all(
        sorted(direct[query][document] for document in found) == sorted(found.values())
        for query, found in reasoned.items()
    ):
        raise BadData(
            "--reasoned-run has the scores of --direct-run in another order: it holds ranks, as listwise rerankers "
            "write them, and a policy needs scores."
        )
    return _recorded(cut, _odds(direct), _odds(reasoned), qrels)


def of_one_unit(queries: Sequence[RecordedQuery]) -> list[RecordedQuery]:
    """The same scores, each file's with a mean of 0 and a standard deviation of 1: what is fitted is drawn towards 0
    and rounded, as suits log-odds, and must not depend on the unit that a model's scores are in."""
    traces = [trace for query in queries for trace in query.traces]
    direct = _unit([trace.direct for trace in traces])
    reasoned = _unit([trace.reasoned for trace in traces])
    scaled = (_trace(*scores) for scores in zip(direct, reasoned, strict=True))
    return [replace(query, traces=[next(scaled) for _ in query.traces]) for query in queries]


def fit(queries: Sequence[RecordedQuery]) -> Parameters:
    """The parameters of these queries. Raises BadData as `fitting.fit`."""
    return fitting.fit(queries, distance=_TRACE, cap=_TRACE)


def in_scores(result: Replayed) -> Replayed:
    """A result with its budget and what was spent counted in expensive scores."""
    budget = result.variant.budget
    variant = replace(result.variant, budget=None if budget is None else budget // COST)
    return replace(result, variant=variant, tokens={query: spent / _TRACE for query, spent in result.tokens.items()})


def _judged(run: Run, qrels: Qrels) -> Run:
    return {query: found for query, found in run.items() if query in qrels}


def _check_pairs(run: Run, other: Run, flag: str) -> None:
    missing = sum(len(found.keys() - other.get(query, {}).keys()) for query, found in run.items())
    if missing:
        pairs = sum(map(len, run.values()))
        raise BadData(f"{flag} has no score for {missing:,} of {pairs:,} pairs; both runs must score the same pairs.")


def _check_scores(run: Run, flag: str) -> None:
    lists = [sorted(found.values(), reverse=True) for found in run.values()]
    if len({score for scores in lists for score in scores}) == 1:
        raise BadData(f"All scores of {flag} are the same: they order nothing.")
    longest = max(lists, key=len)
    if len(lists) > 1 and all(scores == longest[: len(scores)] for scores in lists):
        raise BadData(f"{flag} has the same score at each rank of every query: it holds ranks, a policy needs scores.")


def _odds(run: Run) -> Run:
    if any(not 0 <= score <= 1 for found in run.values() for score in found.values()):
        return run
    return {query: {document: _log_odds(score) for document, score in found.items()} for query, found in run.items()}


def _log_odds(probability: float) -> float:
    inside = min(max(probability, _NEAREST), 1 - _NEAREST)
    return math.log(inside) - math.log1p(-inside)


def _recorded(cut: Run, direct: Run, reasoned: Run, qrels: Qrels) -> list[RecordedQuery]:
    return [
        RecordedQuery(
            query,
            list(found),
            [_trace(direct[query][document], reasoned[query][document]) for document in found],
            [qrels[query].get(document, 0) > 0 for document in found],
            qrels[query],
        )
        for query, found in cut.items()
    ]


def _trace(direct: float, reasoned: float) -> RecordedTrace:
    return RecordedTrace(((0, direct), (_TRACE, reasoned)), Status.COMPLETE)


def _unit(scores: Sequence[float]) -> list[float]:
    values = np.asarray(scores, dtype=np.float64)
    values /= np.abs(values).max() or 1.0  # or the squares of large ones are infinite
    values -= values.mean()
    scaled: list[float] = (values / (values.std() or 1.0)).tolist()
    return scaled
