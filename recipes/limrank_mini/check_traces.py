"""`python -m recipes.limrank_mini traces`: whether traces are true, and consistent with the verdict."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from evaluation.benchmarks.names import named
from evaluation.benchmarks.task import Task
from evaluation.commands.rank import slug
from evaluation.errors import BadData, BadSettings
from evaluation.first_stage import labelled_pairs
from evaluation.results.files import made, write_json
from evaluation.scorers.open import open_scorer
from evaluation.scorers.scorer import Scored, Scorer
from evaluation.scoring import score_all
from evaluation.settings import Scoring
from recipes.limrank_mini.trace_reading import Label, Reading, read_trace
from retrieval.beir import BeirFolder, Document, Query
from retrieval.rejects import Refusing

PARTS = ("query_focus", "query_type", "passage_focus", "passage_type")


@dataclass(frozen=True, slots=True)
class Examined:
    """One pair: whether the document answers the query, what was scored, and what its trace says."""

    query: str
    document: str
    answer: bool
    scored: Scored
    reading: Reading

    @property
    def status(self) -> str:
        return self.scored.status or "none"


class TracesSettings(Scoring):
    """Check traces on MedQuAD pairs: what they name, and whether they agree with the verdict."""

    model_config = SettingsConfigDict(cli_prog_name="python -m recipes.limrank_mini traces")

    data: Path = Field(description="folder of MedQuAD, whose rows have focus and qtype in their metadata")
    out: Path = Field(
        description="folder for results, shared with `limrank-eval calibrate`: pairs scored there are not scored again"
    )
    split: str = Field(default="dev", description="split to measure")
    pairs: int = Field(default=200, ge=5, description="pairs: one answer to four BM25 negatives")


def run(settings: TracesSettings) -> str:
    """Runs the check and returns a summary. Raises `EvaluationError`."""
    if settings.mode != "reasoning" and (settings.model or settings.url):
        raise BadSettings("Traces are written in reasoning mode only; say --mode reasoning.")
    task = named("medquad").open(settings.split, settings.data, None)
    with open_scorer(settings, settings.out) as scorer:
        found = check_traces(
            task,
            settings.data,
            scorer,
            out=settings.out,
            pairs=settings.pairs,
            documents_per_call=settings.documents_per_call,
        )
    return traces_line(found)


def check_traces(
    task: Task, data: Path, scorer: Scorer, *, out: Path, pairs: int, documents_per_call: int
) -> dict[str, Any]:
    """Scores pairs with traces, reads the traces, writes `traces.json` and `traces.tsv`, and returns the content of the
    first."""
    queries, found = labelled_pairs(task, pairs)
    folder = out / f"calibration-{slug(task.name)}" / slug(scorer.name)
    scored, _ = score_all(task, queries, found, scorer, folder, documents_per_call=documents_per_call, out=sys.stderr)
    files = BeirFolder(data, Refusing(), empty_documents=True)
    query_labels = {query.id: label(query, str(query.metadata.get("focus") or "")) for query in files.queries()}
    document_labels = {document.id: label(document, document.title) for document in files.documents()}
    read = [
        Examined(
            query.id,
            document,
            place == 0,
            one,
            read_trace(one.trace or "", query_labels[query.id], document_labels[document]),
        )
        for query in queries
        for place, (document, one) in enumerate(scored[query.id].items())
    ]
    _write_table(folder / "traces.tsv", read)
    result = _summary(task, scorer, read)
    write_json(folder / "traces.json", result)
    return result


def label(row: Query | Document, focus: str) -> Label:
    """The label of a query or document of MedQuAD. Raises `BadData` when it has no type."""
    if "qtype" not in row.metadata:
        raise BadData(f"'{row.id}' has no qtype in its metadata; traces cannot be checked against it.")
    return Label(focus, str(row.metadata["qtype"]))


def traces_line(found: dict[str, Any]) -> str:
    """One line for the terminal."""
    return (
        f"{found['task']} ({found['pairs']:,} pairs): {found['scorer']} names focus and type of query and passage "
        f"right in {found['all_right']:.1%} (query {found['query_right']:.1%}, passage {found['passage_right']:.1%}); "
        f"wording agrees with the verdict in {found['agrees']:.1%}; verdict right in {found['verdict_right']:.1%}"
    )


def _summary(task: Task, scorer: Scorer, read: Sequence[Examined]) -> dict[str, Any]:
    def share(holds: Callable[[Examined], bool]) -> float:
        return sum(map(holds, read)) / max(1, len(read))

    return {
        "kind": "traces",
        "task": task.name,
        "scorer": scorer.name,
        "identity": dict(scorer.identity()),
        "pairs": len(read),
        "query_focus": share(lambda one: one.reading.query_focus),
        "query_type": share(lambda one: one.reading.query_type),
        "passage_focus": share(lambda one: one.reading.passage_focus),
        "passage_type": share(lambda one: one.reading.passage_type),
        "query_right": share(lambda one: one.reading.query_focus and one.reading.query_type),
        "passage_right": share(lambda one: one.reading.passage_focus and one.reading.passage_type),
        "all_right": share(lambda one: one.reading.all_right),
        "agrees": share(lambda one: one.reading.relevant == (one.scored.score > 0)),
        "verdict_right": share(lambda one: one.answer == (one.scored.score > 0)),
        "endings": dict(Counter(one.status for one in read)),
        "made": asdict(made()),
    }


def _write_table(path: Path, read: Sequence[Examined]) -> None:
    lines = ["\t".join(["query", "document", "answers", "log_odds", "status", *PARTS, "concludes", "trace"])]
    for one in read:
        parts = [str(getattr(one.reading, part)).lower() for part in PARTS]
        conclusion = {True: "relevant", False: "not relevant", None: "unclear"}[one.reading.relevant]
        cells = [
            one.query,
            one.document,
            str(one.answer).lower(),
            f"{one.scored.score:.4f}",
            one.status,
            *parts,
            conclusion,
        ]
        lines.append("\t".join([*cells, json.dumps(one.scored.trace, ensure_ascii=False)]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
