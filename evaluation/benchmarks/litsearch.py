"""LitSearch: finding papers (Ajith et al. 2024, arXiv 2407.18940), `princeton-nlp/LitSearch` on the hub.

Configurations `query` (query_set, query, specificity, quality, corpusids) and `corpus_clean` (corpusid, title,
abstract, ...), both with the split `full`. Queries have no id, so the row number is used.
"""

from __future__ import annotations

from evaluation.benchmarks.data_source import DataSource
from evaluation.benchmarks.task import Protocol, Query, Task, passage

HUB = "princeton-nlp/LitSearch"
TASKS = ("full",)


def load(source: DataSource, task: str, variant: str | None = None) -> Task:
    """All 597 queries; the headline is R@5, with means by `specificity` because the paper separates the two."""
    del variant
    rows = list(source.rows("query", task, ("query", "specificity", "corpusids")))
    return Task(
        name="litsearch",
        queries=tuple(
            Query(id=str(number), text=row.text("query"), group=f"specificity {row.values['specificity']}")
            for number, row in enumerate(rows)
        ),
        documents={
            row.id("corpusid"): passage(row.optional("title"), row.optional("abstract"))
            for row in source.rows("corpus_clean", task, ("corpusid", "title", "abstract"), unique="corpusid")
        },
        qrels={str(number): dict.fromkeys(row.ids("corpusids"), 1) for number, row in enumerate(rows)},
        shared_ids=False,
        measures=("R@5", "R@20", "nDCG@10", "RR@10"),
        protocol=Protocol(
            source=source.name,
            licence="see the dataset's card",
            split=task,
            query="the query as given, no instruction",
            passage="title and abstract",
        ),
    )
