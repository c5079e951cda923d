"""`python -m recipes.limrank_mini calibration-set`: train queries of both data sets that are kept out of training.

Temperatures are fitted on them (`limrank-eval calibrate --benchmark beir`), general text and MedQuAD together; the dev
queries of both are in the folder too, to measure the result on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from cli.output import write_text
from evaluation.benchmarks.task import Query as TaskQuery
from evaluation.benchmarks.task import sampled
from evaluation.settings import Command
from recipes.limrank_mini.general.sources import UNSEEN_SOURCES
from retrieval.beir import BeirFolder
from retrieval.id_files import read_ids
from retrieval.rejects import Refusing
from retrieval.trec import Qrels

IDS = "ids.txt"


class CalibrationSetSettings(Command):
    """Keep train queries of general text and MedQuAD out of training, to fit temperatures on."""

    model_config = SettingsConfigDict(cli_prog_name="python -m recipes.limrank_mini calibration-set")

    general: CliPositionalArg[Path] = Field(description="folder of the general data")
    medquad: CliPositionalArg[Path] = Field(description="folder of MedQuAD")
    out: CliPositionalArg[Path] = Field(description="BEIR folder to write, with ids.txt for --exclude of a training")
    queries: int = Field(default=300, ge=1, description="train queries of each set")
    dev_queries: int = Field(default=200, ge=1, description="dev queries of each set")
    excluded: Path | None = Field(default=None, description="file of ids that ids.txt shall hold too")


def run(settings: CalibrationSetSettings) -> str:
    """Writes the folder and returns a summary. Raises `BadInput`."""
    folders = [BeirFolder(path, Refusing(), empty_documents=True) for path in (settings.general, settings.medquad)]
    counts = {"train": settings.queries, "dev": settings.dev_queries}
    chosen = {split: _drawn(folders, split, count) for split, count in counts.items()}
    for split, judged in chosen.items():
        rows = (f"{query}\t{name}\t{grade}" for query, of in judged.items() for name, grade in of.items())
        write_text(settings.out / "qrels" / f"{split}.tsv", "\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n")
    wanted = {query for judged in chosen.values() for query in judged}
    queries = (query for folder in folders for query in folder.queries() if query.id in wanted)
    documents = (
        document
        for folder in folders
        for document in folder.documents()
        if document.metadata.get("source") not in UNSEEN_SOURCES
    )
    _write_rows(settings.out / "queries.jsonl", ({"_id": query.id, "text": query.text} for query in queries))
    _write_rows(
        settings.out / "corpus.jsonl",
        ({"_id": document.id, "title": document.title, "text": document.text} for document in documents),
    )
    excluded = read_ids(settings.excluded)
    write_text(settings.out / IDS, "\n".join(sorted({*chosen["train"], *excluded})) + "\n")
    return f"{len(chosen['train'])} train queries are kept out of training by {settings.out / IDS}."


def _drawn(folders: Sequence[BeirFolder], split: str, count: int) -> Qrels:
    """The judgements of `count` queries of each folder, drawn by their ids."""
    drawn: Qrels = {}
    for folder in folders:
        judged = folder.judgements(split)
        asked = [TaskQuery(id=query.id, text=query.text) for query in folder.queries() if query.id in judged]
        drawn |= {query.id: judged[query.id] for query in sampled(asked, count)}
    return drawn


def _write_rows(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
