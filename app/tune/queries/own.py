"""The user's own queries: lines of a text, or JSONL, with the documents that answer them or without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.tune.documents.decoding import decoded
from app.tune.documents.document import Unreadable
from cli.errors import BadInput
from contract.reading import reading_key
from retrieval.json_rows import read_rows
from retrieval.words import count_words

LARGEST = 64 * 2**20  # bytes
LONGEST = 120  # words, which leave room to a passage


@dataclass(frozen=True, slots=True)
class OwnQuery:
    """`relevant`: document id -> grade, from 1; empty where nobody judged."""

    id: str
    text: str
    relevant: Mapping[str, int] = field(default_factory=dict)


def read_queries(path: Path | None) -> list[OwnQuery]:
    """The queries of a file, each text once. Raises `BadInput`."""
    if path is None:
        return []
    found: dict[str, OwnQuery] = {}
    for query in _read(path):
        if (count := count_words(query.text)) > LONGEST:
            raise BadInput(f"{path}: the query {query.text[:60]!r}... has {count} words, and {LONGEST} are the most.")
        found.setdefault(reading_key(query.text), query)
    if not found:
        raise BadInput(f"{path} holds no query; write one a line.")
    return list(found.values())


def _read(path: Path) -> Iterator[OwnQuery]:
    try:
        with path.open("rb") as file:
            begin = file.read(LARGEST + 1)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); give a file of queries, one a line.") from None
    if len(begin) > LARGEST:
        raise BadInput(f"{path} has more than the {LARGEST >> 20} MiB that are read; give a file of queries alone.")
    if begin.lstrip()[:1] in (b"{", b"["):
        yield from _rows(path)
        return
    try:
        text, _ = decoded(begin)
    except Unreadable as error:
        raise BadInput(f"{path} {error}; give a file of queries, one a line.") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield OwnQuery(f"own/{number}", line.strip())


def _rows(path: Path) -> Iterator[OwnQuery]:
    for row in read_rows(path):
        value = row.value or {}
        text = value.get("query") or value.get("text")
        if row.problem or not isinstance(text, str) or not text.strip():
            problem = row.problem or 'it has no text "query".'
            raise BadInput(f"{path}, row {row.number}: {problem}")
        yield OwnQuery(f"own/{row.number}", text.strip(), _relevant(path, row.number, value.get("relevant")))


def _relevant(path: Path, number: int, given: Any) -> dict[str, int]:
    if given is None:
        return {}
    if isinstance(given, list) and all(isinstance(name, str) for name in given):
        return dict.fromkeys(given, 1)
    if isinstance(given, dict) and all(type(grade) is int and grade >= 0 for grade in given.values()):
        return {name: grade for name, grade in given.items() if grade}
    raise BadInput(
        f"{path}, row {number}: 'relevant' must be a list of document ids, or an object of ids and whole grades."
    )
