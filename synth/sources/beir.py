"""A BEIR folder: `corpus.jsonl`, `queries.jsonl` and `qrels/<split>.tsv`, read row by row (Thakur et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synth.errors import BadInput
from synth.sources.json_rows import read_rows
from synth.sources.rejects import Rejects


@dataclass(frozen=True, slots=True)
class Document:
    """One document. `passage` is what a reranker reads: title and text with a space between, as in BEIR."""

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


@dataclass(frozen=True, slots=True)
class Judgement:
    """One line of a qrels file: its file and line, the two ids and the grade (0: not relevant)."""

    file: Path
    row: int
    query: str
    document: str
    grade: int


class BeirFolder:
    """The three files of one folder. Rows that cannot be used go to `rejects`, where one is given."""

    def __init__(self, folder: Path, rejects: Rejects | None = None) -> None:
        self.folder = folder
        self._rejects = rejects
        for name in ("corpus.jsonl", "queries.jsonl", "qrels"):
            if not (folder / name).exists():
                raise BadInput(
                    f"{folder}: has no '{name}'; a BEIR folder holds corpus.jsonl, queries.jsonl and qrels/<split>.tsv."
                )

    def documents(self) -> Iterator[Document]:
        """The documents in order, without those that have no id, an id seen before, or neither title nor text."""
        for row_id, value in self._rows("corpus.jsonl"):
            yield Document(row_id, _text(value, "title"), _text(value, "text"), value.get("metadata") or {})

    def queries(self) -> Iterator[Query]:
        """The queries in order, without those that have no id, an id seen before, or no text."""
        for row_id, value in self._rows("queries.jsonl"):
            yield Query(row_id, _text(value, "text"), value.get("metadata") or {})

    def splits(self) -> list[str]:
        """The names of the splits that have judgements."""
        return sorted(path.stem for path in (self.folder / "qrels").glob("*.tsv"))

    def judgements(self, split: str) -> dict[str, dict[str, int]]:
        """query id -> document id -> grade of one split; of a pair judged twice the last grade."""
        grades: dict[str, dict[str, int]] = {}
        for judged in self.judgement_rows(split):
            grades.setdefault(judged.query, {})[judged.document] = judged.grade
        return grades

    def judgement_rows(self, split: str) -> Iterator[Judgement]:
        """The judgements of one split in order; the header line is passed over. Raises `BadInput` for no such split."""
        path = self.folder / "qrels" / f"{split}.tsv"
        if not path.exists():
            raise BadInput(f"{self.folder}: has no split '{split}'; its splits are {', '.join(self.splits())}.")
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                parts = line.rstrip("\r\n").split("\t")
                if number == 1 and parts[-1] == "score":
                    continue
                if len(parts) != 3 or not parts[2].lstrip("-").isdigit():
                    self._reject(path, number, "not 'query-id<TAB>corpus-id<TAB>score' with a whole score.", line)
                    continue
                yield Judgement(path, number, parts[0], parts[1], int(parts[2]))

    def _rows(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        path = self.folder / name
        seen: dict[str, int] = {}
        for row in read_rows(path):
            problem = row.problem or _problem(row.value or {}, seen)
            if problem or row.value is None:
                self._reject(path, row.number, problem, row.raw)
                continue
            row_id = str(row.value["_id"])
            seen[row_id] = row.number
            yield row_id, row.value

    def _reject(self, path: Path, row: int, reason: str, raw: str) -> None:
        if self._rejects is not None:
            self._rejects.add(path, row, reason, raw.rstrip("\r\n"))


def _problem(value: Mapping[str, Any], seen: Mapping[str, int]) -> str:
    row_id = value.get("_id")
    if not isinstance(row_id, str | int) or not str(row_id).strip():
        return f"'_id' is {row_id!r}; give the row an id."
    if str(row_id) in seen:
        return f"the id '{row_id}' was given at row {seen[str(row_id)]}; ids must differ."
    for name in ("title", "text"):
        if not isinstance(value.get(name, ""), str | None):
            return f"'{name}' is {type(value[name]).__name__}; it must be a text."
    if not (_text(value, "title") + _text(value, "text")).strip():
        return f"'{row_id}' has no text; give it one or leave it out."
    if not isinstance(value.get("metadata") or {}, dict):
        return f"'metadata' is {type(value['metadata']).__name__}; it must be an object."
    return ""


def _text(value: Mapping[str, Any], name: str) -> str:
    return str(value.get(name) or "").strip()
