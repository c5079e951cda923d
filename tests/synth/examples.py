"""Records, groups, BEIR folders and full disks for tests; all texts are our own."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from contract.records import Difficulty, Group, Intent, Record, write_groups, write_records
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]

TRACE_FOR = "The query asks how bread rises. The passage explains it, so it answers the query."
TRACE_AGAINST = "The query asks how bread rises. The passage is about cheese, so it is not relevant."


def record(number: int = 0, **fields: Any) -> Record:
    """A sound record; `number` makes it differ from others."""
    values: dict[str, Any] = {
        "id": f"own/{number}",
        "query": f"how does bread number {number} rise",
        "passage": f"Bread number {number} rises because yeast makes gas in the dough while it rests in the warmth.",
        "relevant": True,
        "source": "own",
        "licence": "CC0-1.0",
        "domain": "home and travel",
        "difficulty": Difficulty.DIRECT,
        "intent": Intent.DIRECT,
    }
    return Record(**(values | fields))


def group(number: int = 0, **fields: Any) -> Group:
    values: dict[str, Any] = {
        "id": f"own-group/{number}",
        "query": f"how does bread number {number} rise",
        "positive": f"Yeast makes gas in dough {number}.",
        "negatives": tuple(f"Cheese {number}.{place} ripens in a cellar." for place in range(4)),
        "source": "own",
        "licence": "CC0-1.0",
        "domain": "home and travel",
    }
    return Group(**(values | fields))


def records_file(path: Path, records: Iterable[Record]) -> Path:
    write_records(path, records)
    return path


def groups_file(path: Path, groups: Iterable[Group]) -> Path:
    write_groups(path, groups)
    return path


def beir_folder(
    folder: Path,
    corpus: Iterable[Mapping[str, Any]],
    queries: Iterable[Mapping[str, Any]],
    qrels: Iterable[tuple[str, str, int]],
    split: str = "train",
) -> Path:
    """Write a BEIR folder, or one more split into it."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    json_lines(folder / "corpus.jsonl", corpus)
    json_lines(folder / "queries.jsonl", queries)
    lines = ["query-id\tcorpus-id\tscore", *(f"{query}\t{document}\t{score}" for query, document, score in qrels)]
    (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def on_a_full_disk(code: str, most_bytes: int) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process whose files the system refuses to let grow beyond `most_bytes`, as a full disk does."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=dict(os.environ),
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
