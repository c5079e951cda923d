"""Recorded traces with their probes, by query: what is fitted on and replayed, so that no model is asked twice."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contract.adaptive.race import Read
from contract.reasoning import Status
from evaluation.benchmarks.task import Query, Task
from evaluation.errors import ScorerFailed
from evaluation.scorers.scorer import Scored
from retrieval.trec import Run


@dataclass(frozen=True, slots=True)
class RecordedTrace:
    """The verdicts of one pair: `probes` are (tokens, log-odds), the first that of the direct verdict with 0 tokens,
    the last that behind the whole trace, which ended with `status`."""

    probes: Sequence[tuple[int, float]]
    status: Status

    @property
    def direct(self) -> float:
        return self.probes[0][1]

    @property
    def reasoned(self) -> float:
        return self.probes[-1][1]

    @property
    def tokens(self) -> int:
        return self.probes[-1][0]

    def read(self, upto: int) -> Read:
        """What a service would have read behind so many tokens: the last probe before them."""
        if upto >= self.tokens:
            cut_off = self.status is Status.BUDGET
            return Read(self.tokens, self.reasoned, None if cut_off and upto == self.tokens else self.status)
        place = bisect_right(self.probes, upto, key=lambda probe: probe[0]) - 1
        return Read(upto, self.probes[place][1])


@dataclass(frozen=True, slots=True)
class RecordedQuery:
    """The traces of one query's candidates, in the order of the first stage, and which of these are relevant."""

    id: str
    documents: Sequence[str]
    traces: Sequence[RecordedTrace]
    relevant: Sequence[bool]
    grades: Mapping[str, int]


def recorded(
    task: Task, queries: Sequence[Query], candidates: Run, scored: Mapping[str, Mapping[str, Scored]]
) -> list[RecordedQuery]:
    """Those of all queries that have candidates. Raises ScorerFailed where a score has no probes."""
    found = []
    for query in queries:
        documents = list(candidates[query.id])
        if documents:
            grades = task.qrels.get(query.id, {})
            traces = [_trace(scored[query.id][document]) for document in documents]
            relevant = [grades.get(document, 0) > 0 for document in documents]
            found.append(RecordedQuery(query.id, documents, traces, relevant, grades))
    return found


def _trace(scored: Scored) -> RecordedTrace:
    if not scored.probes or scored.status is None:
        raise ScorerFailed("The service answered without probes; it must be one that knows return_probes.")
    if len(scored.probes) < 2:
        raise ScorerFailed("A trace has no verdict, as the deadline was near; give --timeout-seconds more.")
    *before, last = scored.probes
    # One that cut off the end-of-think tag counts its beginning as reasoning; nobody would stop there.
    return RecordedTrace((before[0], *(p for p in before[1:] if p[0] < last[0]), last), Status(scored.status))
