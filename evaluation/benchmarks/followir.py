"""FollowIR: do rankings follow instructions? (Weller et al. 2024, arXiv 2403.15246); three tasks, one dataset each.

Configurations: `corpus` (_id, title, text), `queries` (_id, text), `instruction` (query-id, instruction), `default`
(query-id, corpus-id, score), `top_ranked` and `qrel_diff` (query-id, corpus-ids). Every query occurs twice: as ID-og
with the original instruction and as ID-changed with the altered one.
"""

from __future__ import annotations

from collections.abc import Mapping

from evaluation.benchmarks.data_source import DataSource
from evaluation.benchmarks.task import Protocol, Query, Task, passage
from retrieval.trec import Qrels

HUBS = {
    "robust04": "jhu-clsp/robust04-instructions-mteb",
    "news21": "jhu-clsp/news21-instructions-mteb",
    "core17": "jhu-clsp/core17-instructions-mteb",
}
TASKS = tuple(HUBS)
ORIGINAL, ALTERED = "-og", "-changed"  # suffixes of query ids


def load(source: DataSource, task: str, variant: str | None = None) -> Task:
    """Loads one task with its candidates, which are ordered but have no scores."""
    del variant
    instructions = {
        row.id("query-id"): row.optional("instruction")
        for row in source.rows("instruction", "instruction", ("query-id", "instruction"), unique="query-id")
    }
    queries = tuple(
        _query(row.id("_id"), row.text("text"), instructions)
        for row in source.rows("queries", "queries", ("_id", "text"), unique="_id")
    )
    return Task(
        name=f"followir/{task}",
        queries=queries,
        documents={
            row.id("_id"): passage(row.optional("title"), row.optional("text"))
            for row in source.rows("corpus", "corpus", ("_id", "title", "text"), unique="_id")
        },
        qrels=_qrels(source),
        measures=("nDCG@5", "AP@1000", "RR@10", "P@10") if task == "news21" else ("AP@1000", "nDCG@5", "RR@10", "P@10"),
        candidates={
            row.id("query-id"): {document: -float(rank) for rank, document in enumerate(row.ids("corpus-ids"))}
            for row in source.rows("top_ranked", "top_ranked", ("query-id", "corpus-ids"), unique="query-id")
        },
        changed={
            row.id("query-id"): tuple(row.ids("corpus-ids"))
            for row in source.rows("qrel_diff", "qrel_diff", ("query-id", "corpus-ids"), unique="query-id")
        },
        protocol=Protocol(
            source=source.name,
            licence="MIT",
            split="test",
            query="the query as given; its original or altered instruction as the instruction",
            passage="title and text",
        ),
    )


def _query(query: str, text: str, instructions: Mapping[str, str]) -> Query:
    return Query(
        id=query,
        text=text,
        instruction=instructions.get(query) or None,
        group="original instruction" if query.endswith(ORIGINAL) else "altered instruction",
        topic=topic(query),
        altered=query.endswith(ALTERED),
    )


def topic(query: str) -> str:
    """The id that both forms of a query share."""
    return query.removesuffix(ORIGINAL).removesuffix(ALTERED)


def _qrels(source: DataSource) -> Qrels:
    qrels: Qrels = {}
    for row in source.rows("default", "test", ("query-id", "corpus-id", "score")):
        qrels.setdefault(row.id("query-id"), {})[row.id("corpus-id")] = row.grade("score")
    return qrels
