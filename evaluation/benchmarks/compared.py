"""A task whose queries and documents are compared by their text as read (`contract.reading`), not by their ids.

Queries with the same text and instruction are merged under the id of the first. A document with a query's own id or
text is not a candidate for it, and neither is a copy of one of its answers under another id, because each would count
as a wrong document. Documents that are judged relevant stay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from contract.reading import ids_by_reading, reading_key
from evaluation.benchmarks.task import Query, Task
from retrieval.trec import Qrels, Run

EXCLUDED = "documents with the query's own id or text, and copies of its answers"


def compared_by_reading(task: Task) -> Task:
    """Merges repeated queries and adds such documents to each query's `excluded`."""
    merged = _merged(task)
    excluded = merged.protocol.excluded
    stated = EXCLUDED if excluded == "none" else f"{excluded}; {EXCLUDED}"
    return replace(
        merged,
        queries=_without_own(merged),
        protocol=replace(merged.protocol, excluded=stated),
    )


def _merged(task: Task) -> Task:
    """Merges repeated queries. Queries with an altered instruction or a shared topic stay, because they are compared
    with each other."""
    same: dict[tuple[str, ...], list[Query]] = defaultdict(list)
    for query in task.queries:
        own = (query.id,) if query.topic is not None else ()
        same[reading_key(query.text), reading_key(query.instruction or ""), *own].append(query)
    if len(same) == len(task.queries):
        return task
    groups = list(same.values())
    note = f"; {len(task.queries) - len(groups)} queries that read the same as an earlier one are one with it"
    return replace(
        task,
        queries=tuple(_one(group) for group in groups),
        qrels=_joined_qrels(groups, task.qrels),
        readings={name: _joined_qrels(groups, qrels) for name, qrels in task.readings.items()},
        candidates=None if task.candidates is None else _joined_run(groups, task.candidates),
        protocol=replace(task.protocol, query=task.protocol.query + note),
    )


def _one(group: Sequence[Query]) -> Query:
    return replace(group[0], excluded=frozenset[str]().union(*(query.excluded for query in group)))


def _joined_qrels(groups: Iterable[Sequence[Query]], qrels: Qrels) -> Qrels:
    """The judgements of each group of queries; a document judged twice gets the higher grade."""
    joined: Qrels = {}
    for group in groups:
        for query in group:
            for document, grade in qrels.get(query.id, {}).items():
                grades = joined.setdefault(group[0].id, {})
                grades[document] = max(grade, grades.get(document, grade))
    return joined


def _joined_run(groups: Iterable[Sequence[Query]], run: Run) -> Run:
    """The candidates of the first query of each group that has any."""
    return {group[0].id: next((run[query.id] for query in group if run.get(query.id)), {}) for group in groups}


def _without_own(task: Task) -> tuple[Query, ...]:
    answers = {query.id: _answers(task, query.id) for query in task.queries}
    asked = {query.id: reading_key(query.text) for query in task.queries}
    wanted = {
        document: reading_key(task.documents[document])
        for documents in answers.values()
        for document in documents
        if document in task.documents
    }
    same = ids_by_reading(task.documents, {*asked.values(), *wanted.values()})

    def excluded(query: Query) -> frozenset[str]:
        key, judged = asked[query.id], answers[query.id]
        found = {*same[key], *task.same_text.get(key, ())}
        if task.shared_ids and query.id in task.documents:
            found.add(query.id)
        for document in judged & wanted.keys():
            found |= set(same[wanted[document]])
        return query.excluded | (found - judged)

    return tuple(replace(query, excluded=excluded(query)) for query in task.queries)


def _answers(task: Task, query: str) -> set[str]:
    """The documents that count as relevant under any of the judgements."""
    readings = (task.qrels, *task.readings.values())
    return {document for reading in readings for document, grade in reading.get(query, {}).items() if grade > 0}
