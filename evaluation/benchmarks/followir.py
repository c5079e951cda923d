"""FollowIR: do rankings obey instructions? (Weller et al. 2024, arXiv 2403.15246); three tasks, one dataset each.

Configurations: `corpus` (_id, title, text), `queries` (_id, text), `instruction` (query-id, instruction), `default`
(query-id, corpus-id, score), `top_ranked` and `qrel_diff` (query-id, corpus-ids). Every query comes twice, as ID-og
with the original instruction and as ID-changed with the altered one.
"""

from __future__ import annotations

from evaluation.benchmarks.data_source import DataSource
from evaluation.benchmarks.task import Protocol, Query, Task, passage
from retrieval.trec import Qrels

HUBS = {
    "robust04": "jhu-clsp/robust04-instructions-mteb",
    "news21": "jhu-clsp/news21-instructions-mteb",
    "core17": "jhu-clsp/core17-instructions-mteb",
}
TASKS = tuple(HUBS)
ORIGINAL, ALTERED = "-og", "-changed"  # ends of the ids of queries


def load(source: DataSource, task: str, variant: str | None = None) -> Task:
    """One task with its candidates, which come as an order of documents, without scores."""
    del variant
    instructions = {
        str(row["query-id"]): row["instruction"]
        for row in source.rows("instruction", "instruction", ("query-id", "instruction"))
    }
    queries = tuple(
        Query(
            id=str(row["_id"]),
            text=row["text"],
            instruction=instructions.get(str(row["_id"])),
            group="original instruction" if str(row["_id"]).endswith(ORIGINAL) else "altered instruction",
            topic=topic(str(row["_id"])),
            altered=str(row["_id"]).endswith(ALTERED),
        )
        for row in source.rows("queries", "queries", ("_id", "text"))
    )
    return Task(
        name=f"followir/{task}",
        queries=queries,
        documents={
            str(row["_id"]): passage(row["title"], row["text"])
            for row in source.rows("corpus", "corpus", ("_id", "title", "text"))
        },
        qrels=_qrels(source),
        measures=("nDCG@5", "AP@1000", "RR@10", "P@10") if task == "news21" else ("AP@1000", "nDCG@5", "RR@10", "P@10"),
        candidates={
            str(row["query-id"]): {str(document): -float(rank) for rank, document in enumerate(row["corpus-ids"])}
            for row in source.rows("top_ranked", "top_ranked", ("query-id", "corpus-ids"))
        },
        changed={
            str(row["query-id"]): tuple(str(document) for document in row["corpus-ids"])
            for row in source.rows("qrel_diff", "qrel_diff", ("query-id", "corpus-ids"))
        },
        protocol=Protocol(
            source=source.name,
            licence="MIT",
            split="test",
            query="the query as given; its original or altered instruction as the instruction",
            passage="title and text",
        ),
    )


def topic(query: str) -> str:
    """The id that a query's two forms share."""
    return query.removesuffix(ORIGINAL).removesuffix(ALTERED)


def _qrels(source: DataSource) -> Qrels:
    qrels: Qrels = {}
    for row in source.rows("default", "test", ("query-id", "corpus-id", "score")):
        qrels.setdefault(str(row["query-id"]), {})[str(row["corpus-id"])] = int(row["score"])
    return qrels
