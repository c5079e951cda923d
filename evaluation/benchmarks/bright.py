"""BRIGHT: reasoning-intensive retrieval (Su et al. 2025, arXiv 2407.12883), 12 tasks, `xlangai/BRIGHT` on the hub.

Configurations `examples` (query, id, excluded_ids, gold_ids) and `documents` (id, content), one split per task.
`gpt4_reason` and others with the same columns hold the queries with a model's reasoning, for the first stage to search
with. Documents in `excluded_ids` are left out for their query; "N/A" there means none.
"""

from __future__ import annotations

from evaluation.benchmarks.data_source import DataSource
from evaluation.benchmarks.task import Protocol, Query, Task

HUB = "xlangai/BRIGHT"
TASKS = (
    "biology",
    "earth_science",
    "economics",
    "psychology",
    "robotics",
    "stackoverflow",
    "sustainable_living",
    "leetcode",
    "pony",
    "aops",
    "theoremqa_questions",
    "theoremqa_theorems",
)


def load(source: DataSource, task: str, variant: str | None = None) -> Task:
    """One task. `variant` names the configuration whose queries a first stage searches with (`gpt4_reason`)."""
    examples = list(source.rows("examples", task, ("query", "id", "excluded_ids", "gold_ids"), unique="id"))
    searches = (
        {}
        if variant is None
        else {row.id("id"): row.text("query") for row in source.rows(variant, task, ("query", "id"), unique="id")}
    )
    queries = tuple(
        Query(
            id=row.id("id"),
            text=row.text("query"),
            search=searches.get(row.id("id")),
            excluded=frozenset(row.ids("excluded_ids")) - {"N/A"},
        )
        for row in examples
    )
    return Task(
        name=f"bright/{task}",
        searches=variant or "",
        queries=queries,
        documents={
            row.id("id"): row.optional("content")
            for row in source.rows("documents", task, ("id", "content"), unique="id")
        },
        qrels={row.id("id"): dict.fromkeys(row.ids("gold_ids"), 1) for row in examples},
        protocol=Protocol(
            source=source.name,
            licence="CC-BY-4.0",
            split=task,
            query="the query as given, no instruction"
            + (f"; BM25 and bi-encoders search with those of {variant}" if variant else ""),
            passage="content",
            excluded="excluded_ids of each query",
        ),
    )
