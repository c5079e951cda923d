"""A BEIR folder: `corpus.jsonl`, `queries.jsonl` and `qrels/<split>.tsv`, read row by row (Thakur et al. 2021).

Unusable rows are reported with file and line and skipped: those without an id, with a repeated id, without a text, or
with a text that is not a string. White space around ids, titles and texts is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retrieval.errors import MissingData
from retrieval.json_rows import read_rows
from retrieval.rejects import Rejects
from retrieval.trec import Judgement, Qrels, grades, read_judgements

_BREAKS = re.compile(r"[\t\r\n]")


@dataclass(frozen=True, slots=True)
class Document:
    """One document. `passage` is the text that a reranker reads: title and text joined by a space, as in BEIR."""

    id: str
    title: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passage(self) -> str:
        return f"{self.title} {self.text}".strip()


@dataclass(frozen=True, slots=True)
class Query:
    id: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


class BeirFolder:
    """The files of one folder. Unusable rows go to `rejects`. Raises `MissingData` for a folder that lacks a file.
    `empty_documents` also reads documents without a text, which an evaluation ranks too."""

    def __init__(self, folder: Path, rejects: Rejects, *, empty_documents: bool = False) -> None:
        self.folder = folder
        self._rejects = rejects
        self._empty_documents = empty_documents
        for name in ("corpus.jsonl", "queries.jsonl", "qrels"):
            if not (folder / name).exists():
                raise MissingData(
                    f"{folder}: has no '{name}'; a BEIR folder holds corpus.jsonl, queries.jsonl and qrels/<split>.tsv."
                )

    def documents(self) -> Iterator[Document]:
        """The documents in order."""
        return read_documents(self.folder / "corpus.jsonl", self._rejects, empty=self._empty_documents)

    def queries(self) -> Iterator[Query]:
        """The queries in order."""
        return read_queries(self.folder / "queries.jsonl", self._rejects)

    def splits(self) -> list[str]:
        """The names of the splits that have judgements."""
        return sorted(path.stem for path in (self.folder / "qrels").glob("*.tsv"))

    def judgements(self, split: str) -> Qrels:
        """query id -> document id -> grade of one split; the last grade of a pair judged twice."""
        return grades(self.judgement_rows(split))

    def judgement_rows(self, split: str) -> Iterator[Judgement]:
        """The judgements of one split in order. Raises `MissingData` when there is no such split."""
        path = self.folder / "qrels" / f"{split}.tsv"
        if not path.exists():
            known = ", ".join(self.splits()) or "none"
            raise MissingData(f"{self.folder}: has no split '{split}'; its splits are {known}.")
        return read_judgements(path, self._rejects)


def read_documents(path: Path, rejects: Rejects, *, empty: bool = False) -> Iterator[Document]:
    """The documents of a `corpus.jsonl` in order. `empty` includes those with neither title nor text.

    Raises `BadInput` when the file cannot be read.
    """
    for row_id, value in _rows(path, rejects, empty=empty):
        yield Document(row_id, _text(value, "title"), _text(value, "text"), value.get("metadata") or {})


def read_queries(path: Path, rejects: Rejects) -> Iterator[Query]:
    """The queries of a `queries.jsonl` in order. Raises `BadInput` when the file cannot be read."""
    for row_id, value in _rows(path, rejects, empty=False):
        yield Query(row_id, _text(value, "text"), value.get("metadata") or {})


def _rows(path: Path, rejects: Rejects, *, empty: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    seen: dict[str, int] = {}
    for row in read_rows(path):
        problem = row.problem or _problem(row.value or {}, seen, empty=empty)
        if problem or row.value is None:
            rejects.add(path, row.number, problem, row.raw.rstrip("\r\n"))
            continue
        row_id = str(row.value["_id"]).strip()
        seen[row_id] = row.number
        yield row_id, row.value


def _problem(value: Mapping[str, Any], seen: Mapping[str, int], *, empty: bool) -> str:
    return _id_problem(value.get("_id"), seen) or _text_problem(value, empty=empty)


def _id_problem(given: object, seen: Mapping[str, int]) -> str:
    if not isinstance(given, str | int) or isinstance(given, bool) or not str(given).strip():
        return f"'_id' is {given!r}; give the row an id."
    row_id = str(given).strip()
    if _BREAKS.search(row_id):
        return f"the id {row_id!r} holds a tab or a line break, which no file of judgements can name; take it out."
    if row_id in seen:
        return f"the id '{row_id}' was given at row {seen[row_id]}; ids must differ."
    return ""


def _text_problem(value: Mapping[str, Any], *, empty: bool) -> str:
    for name in ("title", "text"):
        if not isinstance(value.get(name, ""), str | None):
            return f"'{name}' is {type(value[name]).__name__}; it must be a text."
    if not empty and not (_text(value, "title") + _text(value, "text")):
        return f"'{str(value['_id']).strip()}' has no text; give it one or leave it out."
    if not isinstance(value.get("metadata") or {}, dict):
        return f"'metadata' is {type(value['metadata']).__name__}; it must be an object."
    return ""


def _text(value: Mapping[str, Any], name: str) -> str:
    return str(value.get(name) or "").strip()
