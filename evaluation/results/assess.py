"""Measures of a scorer's ranking of a task, with intervals, compared to its first stage and to the best order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from evaluation.benchmarks.task import Query, Task
from evaluation.evidence import count_evidence
from evaluation.metrics import by_order, mean, oracle, p_mrr, per_query
from evaluation.results.ranking import Figures, Gain, GroupMean, Reading
from evaluation.scorers.scorer import Scored
from evaluation.scoring import ranking
from evaluation.significance import interval, paired
from retrieval.trec import Qrels, Run

Rankings = Mapping[str, Sequence[str]]
"""query -> documents, best first."""


def assess(
    task: Task, queries: Sequence[Query], candidates: Run, scored: dict[str, dict[str, Scored]]
) -> tuple[Figures, dict[str, dict[str, float]]]:
    """The figures, and measure -> query -> value. Intervals and tests are computed over topics."""
    judged = {query.id: task.qrels.get(query.id, {}) for query in queries}
    order = ranking(scored)
    headline = task.measures[0]
    values = per_query(judged, by_order(order), task.measures)
    before = per_query(judged, by_order(candidates), task.measures)
    best = per_query(judged, oracle(judged, candidates), [headline])
    topics = {query.id: query.counted_as for query in queries}.__getitem__
    measures = {name: interval(list(by_topic(found, topics).values())) for name, found in values.items()}
    if task.changed:
        changes = p_mrr(_rankings(queries, order, altered=False), _rankings(queries, order, altered=True), task.changed)
        measures = ({"p-MRR": interval(list(changes.values()))} if changes else {}) | measures
        values = values | {"p-MRR": changes}
    figures = Figures(
        queries=len(queries),
        of_queries=len(task.queries),
        without_candidates=sum(not candidates[query.id] for query in queries),
        pairs=sum(map(len, candidates.values())),
        measures=measures,
        first_stage={name: mean(found) for name, found in before.items()},
        best_possible={name: mean(found) for name, found in best.items()},
        against_first_stage=_gain(by_topic(values[headline], topics), by_topic(before[headline], topics)),
        groups=_groups(queries, values[headline]),
        endings=_endings(scored),
        readings={name: _reading(qrels, queries, order, candidates, task) for name, qrels in task.readings.items()},
        evidence=count_evidence(
            (task.documents[document], one) for found in scored.values() for document, one in found.items()
        ),
    )
    return figures, values


def by_topic(values: Mapping[str, float], topic: Callable[[str], str]) -> dict[str, float]:
    """Values by topic, each the mean over the queries of the topic."""
    found: dict[str, list[float]] = {}
    for query, value in values.items():
        found.setdefault(topic(query), []).append(value)
    return {name: sum(of_topic) / len(of_topic) for name, of_topic in found.items()}


def _gain(after: Mapping[str, float], before: Mapping[str, float]) -> Gain:
    changes = sorted((round(after[topic] - before[topic], 4) for topic in after), reverse=True)
    found = paired(after, before)
    return Gain(
        found.queries, found.difference, found.p_randomization, found.p_t, found.better, found.worse, tuple(changes)
    )


def _reading(qrels: Qrels, queries: Sequence[Query], order: Rankings, candidates: Run, task: Task) -> Reading:
    judged = {query.id: qrels.get(query.id, {}) for query in queries}
    headline = task.measures[0]
    found = per_query(judged, by_order(order), task.measures)
    return Reading(
        measures={name: interval(list(values.values())) for name, values in found.items()},
        first_stage=mean(per_query(judged, by_order(candidates), [headline])[headline]),
        best_possible=mean(per_query(judged, oracle(judged, candidates), [headline])[headline]),
    )


def _rankings(queries: Sequence[Query], order: Rankings, *, altered: bool) -> dict[str, Sequence[str]]:
    """topic -> documents, best first, for the queries with altered or with original instructions."""
    return {query.counted_as: order[query.id] for query in queries if query.altered is altered}


def _groups(queries: Sequence[Query], values: Mapping[str, float]) -> dict[str, GroupMean]:
    names = sorted({query.group for query in queries if query.group is not None})
    members = {name: [values[query.id] for query in queries if query.group == name] for name in names}
    return {name: GroupMean(len(found), sum(found) / len(found)) for name, found in members.items()}


def _endings(scored: dict[str, dict[str, Scored]]) -> dict[str, int]:
    statuses = (answer.status for found in scored.values() for answer in found.values())
    return dict(Counter(status for status in statuses if status is not None))
