"""Any BEIR folder (Thakur et al. 2021), folders with a second set of judgements, and TREC Deep Learning.

A folder has `corpus.jsonl` (_id, title, text), `queries.jsonl` (_id, text), `qrels/<split>.tsv`, and optionally TREC
runs with candidates: `candidates.trec`, `candidates_<stage>.trec` or `candidates_<stage>_<split>.trec`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from contract.reading import reading_key
from evaluation.benchmarks.data_source import DataSource
from evaluation.benchmarks.task import MEASURES, Protocol, Query, Task, passage
from evaluation.errors import NotAvailable, missing_is_not_available
from retrieval.beir import BeirFolder
from retrieval.rejects import Refusing
from retrieval.trec import Qrels, Run, read_qrels, read_run

SPLITS = ("train", "dev", "test")
_ON_THE_HUB = {"dev": "validation"}
GRADED = tuple(
    name if name.startswith("nDCG") else name.replace("@", "(rel=2)@") for name in MEASURES
)  # measures with binary relevance count grades 2 and 3 of TREC DL as relevant


def load(source: DataSource, task: str, variant: str | None = None) -> Task:
    """Loads the split `task` of a folder, or of `BeIR/NAME` on the hub. `variant` names the first stage of the
    candidates."""
    if source.folder is None:
        return _from_hub(source, task)
    folder = source.folder
    with missing_is_not_available():
        files = BeirFolder(folder, Refusing(), empty_documents=True)
        qrels = files.judgements(task)
    stage, candidates = _candidates(folder, task, variant)
    queries = tuple(
        Query(id=query.id, text=query.text, group=query.metadata.get("qtype"))
        for query in files.queries()
        if query.id in qrels
    )
    documents, same_text = _documents(
        ((document.id, document.title, document.text) for document in files.documents()), queries
    )
    return Task(
        name=f"{folder.name}/{task}",
        queries=queries,
        documents=documents,
        same_text=same_text,
        qrels=qrels,
        candidates=candidates,
        candidates_name=stage,
        protocol=Protocol(
            source=source.name,
            licence="see the folder's own statement",
            split=task,
            query="the query as given, no instruction",
            passage="title and text",
        ),
    )


def load_two_readings(
    source: DataSource, task: str, variant: str | None = None, *, name: str, about: str, licence: str
) -> Task:
    """Loads a folder with a second set of judgements for some splits, `qrels/<split>_same_answer.tsv`, in which
    documents with the same answer count too. `name` is the benchmark's; results state `about` and `licence` as its
    source."""
    loaded = load(source, task, variant)
    assert source.folder is not None
    path = source.folder / "qrels" / f"{task}_same_answer.tsv"
    reading = read_qrels(path) if path.exists() else None
    return replace(
        loaded,
        name=f"{name}/{task}",
        readings={} if reading is None else {"same answer": {query: reading.get(query, {}) for query in loaded.qrels}},
        protocol=replace(loaded.protocol, source=about, licence=licence),
    )


def load_trec_dl(source: DataSource, task: str, variant: str | None = None) -> Task:
    """TREC Deep Learning passage ranking (Craswell et al. 2020), grades 0 to 3; `candidates.trec` is BM25's."""
    loaded = load(source, task, variant)
    assert source.folder is not None
    return replace(
        loaded,
        name=f"trec-dl/{source.folder.name}",
        candidates_name="bm25" if loaded.candidates_name == "candidates" else loaded.candidates_name,
        measures=GRADED,
        protocol=replace(loaded.protocol, source=source.folder.name, licence="MS MARCO terms: non-commercial research"),
    )


def _candidates(folder: Path, split: str, variant: str | None) -> tuple[str, Run | None]:
    """The name of the first stage and its run, if the folder has one."""
    stages = ["bm25"] if variant is None else [variant]
    names = {f"candidates_{stage}{end}.trec": stage for stage in stages for end in (f"_{split}", "")}
    if variant in (None, "bm25"):
        names["candidates.trec"] = "candidates" if variant is None else "bm25"
    found = next((name for name in names if (folder / name).is_file()), None)
    if found is None and variant not in (None, "bm25"):
        raise NotAvailable(f"{folder} has neither of {', '.join(names)}.")
    return ("", None) if found is None else (names[found], read_run(folder / found))


def _from_hub(source: DataSource, split: str) -> Task:
    qrels: Qrels = {}
    hub_split = _ON_THE_HUB.get(split, split)
    for row in DataSource(f"{source.hub}-qrels").rows("default", hub_split, ("query-id", "corpus-id", "score")):
        qrels.setdefault(row.id("query-id"), {})[row.id("corpus-id")] = row.grade("score")
    queries = tuple(
        Query(id=row.id("_id"), text=row.text("text"))
        for row in source.rows("queries", "queries", ("_id", "text"), unique="_id")
        if row.id("_id") in qrels
    )
    rows = source.rows("corpus", "corpus", ("_id", "title", "text"), unique="_id")
    documents, same_text = _documents(
        ((row.id("_id"), row.optional("title"), row.optional("text")) for row in rows), queries
    )
    return Task(
        name=f"{source.hub.split('/')[-1]}/{split}",
        queries=queries,
        documents=documents,
        same_text=same_text,
        qrels=qrels,
        protocol=Protocol(
            source=source.name,
            licence="see the dataset's card",
            split=split,
            query="the query as given, no instruction",
            passage="title and text",
        ),
    )


def _documents(
    rows: Iterable[tuple[str, str, str]], queries: Iterable[Query]
) -> tuple[dict[str, str], dict[str, frozenset[str]]]:
    """Maps id to passage from (id, title, text) rows; and `Task.same_text`."""
    asked = {reading_key(query.text) for query in queries}
    documents: dict[str, str] = {}
    same: dict[str, frozenset[str]] = {}
    for document, title, text in rows:
        documents[document] = passage(title, text)
        if title and (key := reading_key(text)) in asked:
            same[key] = same.get(key, frozenset()) | {document}
    return documents, same
