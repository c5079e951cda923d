"""TREC run files and BEIR qrels: read, checked, written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from contract.files import whole_file
from evaluation.errors import BadData, NotAvailable

Run = dict[str, dict[str, float]]
"""query id -> document id -> score, the documents of a query in the order of their ranks."""
Qrels = dict[str, dict[str, int]]
"""query id -> document id -> grade; 0 or less: judged not relevant."""


def read_run(path: Path) -> Run:
    """A TREC run: six columns (query, Q0, document, rank, score, tag). Ordered by score, ties by rank, then by line.

    Raises `NotAvailable` where there is no such file, `BadData` with the line where it is not as it should be.
    """
    rows: dict[str, list[tuple[float, int, int, str]]] = {}
    for number, parts in _lines(path):
        if len(parts) != 6:
            raise BadData(
                f"{path}, line {number}: {len(parts)} columns; a TREC run has six: query Q0 document rank ..."
            )
        rows.setdefault(parts[0], []).append((*_score_and_rank(path, number, parts[4], parts[3]), number, parts[2]))
    run: Run = {}
    for query, found in rows.items():
        found.sort(key=lambda row: (-row[0], row[1], row[2]))
        run[query] = {document: score for score, _, _, document in found}
        if len(run[query]) < len(found):
            raise BadData(f"{path}: query '{query}' names a document twice; each may stand once.")
    return run


def write_run(path: Path, run: Mapping[str, Mapping[str, float]], tag: str) -> None:
    """Write a TREC run, whole or not at all; ranks follow the order of the documents."""
    with whole_file(path) as file:
        for query, documents in run.items():
            for rank, (document, score) in enumerate(documents.items(), start=1):
                file.write(f"{query} Q0 {document} {rank} {score!r} {tag}\n")


def read_qrels(path: Path) -> Qrels:
    """BEIR's qrels: `query-id<TAB>corpus-id<TAB>score` under a header line. Raises as `read_run`."""
    qrels: Qrels = {}
    for number, parts in _lines(path):
        if number == 1 and parts[-1] == "score":
            continue
        if len(parts) != 3 or not parts[2].lstrip("-").isdigit():
            raise BadData(f"{path}, line {number}: not 'query-id, corpus-id, score' with a whole score.")
        qrels.setdefault(parts[0], {})[parts[1]] = int(parts[2])
    return qrels


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotAvailable(f"{path} does not exist.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"{path} cannot be read ({error}).") from None
    return [(number, line.split()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _score_and_rank(path: Path, number: int, score: str, rank: str) -> tuple[float, int]:
    try:
        value, place = float(score), int(rank)
    except ValueError:
        raise BadData(f"{path}, line {number}: rank '{rank}' or score '{score}' is no number.") from None
    if not math.isfinite(value):
        raise BadData(f"{path}, line {number}: the score is {score}; it must be finite.")
    return value, place
