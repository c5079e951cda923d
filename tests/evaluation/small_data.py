"""Small folders in the schemas of the benchmarks, with texts of our own."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

DOCUMENTS = {
    "bread-1": ("Bread", "Sourdough bread rises slowly because wild yeast works slowly."),
    "bread-2": ("Bread", "Rye bread keeps for two weeks in a wooden box."),
    "tea-1": ("Tea", "Green tea is steeped at eighty degrees for two minutes."),
    "tea-2": ("Tea", "Black tea was shipped from Canton to London."),
    "bike-1": ("Bicycles", "A bicycle chain is oiled every three hundred kilometres."),
    "bike-2": ("Bicycles", "The first bicycle races were held near Paris."),
}
QUERIES = {
    "q1": "why does sourdough bread rise slowly",
    "q2": "how long is green tea steeped",
    "q3": "how often is a bicycle chain oiled",
}
ANSWERS = {"q1": "bread-1", "q2": "tea-1", "q3": "bike-1"}
# What a first stage found: the answer first, second and third.
FOUND = {
    "q1": ["bread-1", "bread-2", "tea-1", "bike-2"],
    "q2": ["tea-2", "tea-1", "bread-2", "bike-1"],
    "q3": ["bike-2", "tea-2", "bike-1", "bread-1"],
}


def jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)


def trec_run(path: Path, found: Mapping[str, Sequence[str]]) -> None:
    lines = [
        f"{query} Q0 {document} {rank} {10 - rank}.5 test\n"
        for query, documents in found.items()
        for rank, document in enumerate(documents, start=1)
    ]
    path.write_text("".join(lines), encoding="utf-8")


def beir_folder(folder: Path, *, split: str = "test", candidates: str | None = "candidates.trec") -> Path:
    """Three queries over six documents."""
    jsonl(folder / "corpus.jsonl", [{"_id": i, "title": t, "text": x} for i, (t, x) in DOCUMENTS.items()])
    jsonl(folder / "queries.jsonl", [{"_id": i, "text": text} for i, text in QUERIES.items()])
    qrels(folder / "qrels" / f"{split}.tsv", [(query, document, 1) for query, document in ANSWERS.items()])
    if candidates is not None:
        trec_run(folder / candidates, FOUND)
    return folder


def qrels(path: Path, rows: Sequence[tuple[str, str, int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["query-id\tcorpus-id\tscore", *(f"{query}\t{document}\t{grade}" for query, document, grade in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


ASKED = {
    "symptoms": "What are the symptoms of {x}?",
    "treatment": "What are the treatments for {x}?",
    "causes": "What causes {x}?",
}
TOLD = {
    "symptoms": "The symptoms of {x} include a blue nose and cold hands, which come in the evening.",
    "treatment": "Doctors treat {x} with warm gloves, rest and a drug taken twice a day.",
    "causes": "Nobody is sure what causes {x}; cold rooms and thin coats may be to blame.",
}
FOCUSES = ("Blue nose disease", "Harbour fever", "Glass knee syndrome", "Paper cough")


def medquad_folder(folder: Path, splits: Sequence[str] = ("dev", "test", "train")) -> Path:
    """Four diseases with three question types each, in every split; BM25 candidates for all but train."""
    documents, queries = [], []
    for split in splits:
        answers: dict[str, str] = {}
        for number, focus in enumerate(FOCUSES):
            for kind, question in ASKED.items():
                name = f"{split}-{number}-{kind}"
                labels = {"focus": f"{focus} {split}", "qtype": kind}
                documents.append(
                    {"_id": name, "title": labels["focus"], "text": TOLD[kind].format(x=labels["focus"])}
                    | {"metadata": labels}
                )
                asked = question.format(x=labels["focus"])
                queries.append({"_id": f"q-{name}", "text": asked, "metadata": labels | {"split": split}})
                answers[f"q-{name}"] = name
        qrels(folder / "qrels" / f"{split}.tsv", [(query, name, 1) for query, name in answers.items()])
        if split != "train":
            extra = [(f"q-{split}-0-causes", f"{split}-1-causes", 1)]
            plain = [(query, name, 1) for query, name in answers.items()]
            qrels(folder / "qrels" / f"{split}_same_answer.tsv", plain + extra)
            names = list(answers.values())
            found = {q: [*names[at : at + 6], *names[: max(0, at - 6)]] for at, q in enumerate(answers)}
            trec_run(folder / f"candidates_bm25_{split}.trec", found)
    jsonl(folder / "corpus.jsonl", documents)
    jsonl(folder / "queries.jsonl", queries)
    return folder


def bright_folder(folder: Path) -> Path:
    """One task of BRIGHT, in parquet as on the hub; q1 excludes the best match of its words."""
    examples = [
        {"query": text, "reasoning": "", "id": query, "excluded_ids": ["N/A"], "gold_ids": [ANSWERS[query]]}
        | {"gold_ids_long": ["N/A"], "gold_answer": ""}
        for query, text in QUERIES.items()
    ]
    examples[0] |= {"excluded_ids": ["bread-2"]}
    parquet(folder / "examples" / "biology-00000-of-00001.parquet", examples)
    reasons = [{"query": "bicycle races near Paris", "id": "q3"}, {"query": QUERIES["q1"], "id": "q1"}]
    parquet(folder / "gpt4_reason" / "biology-00000-of-00001.parquet", [*reasons, {"query": QUERIES["q2"], "id": "q2"}])
    rows = [{"id": name, "content": text} for name, (_, text) in DOCUMENTS.items()]
    parquet(folder / "documents" / "biology-00000-of-00002.parquet", rows[:3])
    parquet(folder / "documents" / "biology-00001-of-00002.parquet", rows[3:])
    return folder


def followir_folder(folder: Path) -> Path:
    """FollowIR's Core17 with one query: the altered instruction rules out the second bread, which comes first."""
    root = folder / "core17"
    parquet(root / "corpus" / "corpus-00000-of-00001.parquet", [
        {"_id": name, "title": title, "text": text} for name, (title, text) in DOCUMENTS.items()
    ])  # fmt: skip
    both = ("310-og", "310-changed")
    parquet(root / "queries" / "queries-00000-of-00001.parquet", [{"_id": q, "text": "bread"} for q in both])
    told = {"310-og": "Anything on bread counts.", "310-changed": "Only why bread rises slowly counts."}
    rows = [{"query-id": query, "instruction": text} for query, text in told.items()]
    parquet(root / "instruction" / "instruction-00000-of-00001.parquet", rows)
    judged = [("310-og", "bread-1", 1), ("310-og", "bread-2", 1), ("310-changed", "bread-1", 1)]
    judged.append(("310-changed", "bread-2", 0))
    grades = [{"query-id": query, "corpus-id": name, "score": float(grade)} for query, name, grade in judged]
    parquet(root / "data" / "default-00000-of-00001.parquet", grades)
    ranked = [{"query-id": query, "corpus-ids": ["bread-2", "tea-1", "bread-1", "bike-1"]} for query in both]
    parquet(root / "top_ranked" / "top_ranked-00000-of-00001.parquet", ranked)
    changed = [{"query-id": "310", "corpus-ids": ["bread-2"]}]
    parquet(root / "qrel_diff" / "qrel_diff-00000-of-00001.parquet", changed)
    return folder


def litsearch_folder(folder: Path) -> Path:
    rows = [
        {"query_set": "own", "query": text, "specificity": number % 2, "quality": 2, "corpusids": [number]}
        for number, text in enumerate(QUERIES.values())
    ]
    parquet(folder / "query" / "full-00000-of-00001.parquet", rows)
    answers = [DOCUMENTS[ANSWERS[query]] for query in QUERIES]
    papers = [
        {"corpusid": number, "title": title, "abstract": text, "citations": [0], "full_paper": ""}
        for number, (title, text) in enumerate([*answers, DOCUMENTS["tea-2"]])
    ]
    parquet(folder / "corpus_clean" / "full-00000-of-00001.parquet", papers)
    return folder


def gpqa_folder(folder: Path) -> Path:
    """Two questions in the columns of GPQA, as CSV."""
    columns = ["Record ID", "Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2"]
    columns += ["Incorrect Answer 3", "Subdomain"]
    rows = [
        ["rec1", "How long is green tea\nsteeped?", "two minutes", "an hour", "a day", "never", "Tea"],
        ["rec2", "How often is a bicycle chain oiled?", "every 300 km", "daily", "yearly", "never", "Bicycles"],
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "gpqa_diamond.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return folder
