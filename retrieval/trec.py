"""TREC run files and BEIR qrels: reading, checking, writing.

Columns are separated by tabs, so that ids may contain blanks; a line without tabs is separated by blanks.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.errors import BadInput
from contract.files import whole_file
from retrieval.encoding import check_encoding, not_utf8
from retrieval.errors import MissingData
from retrieval.rejects import Refusing, Rejects

Run = dict[str, dict[str, float]]
"""query id -> document id -> score; the documents of a query in rank order."""
Qrels = dict[str, dict[str, int]]
"""query id -> document id -> grade; 0 or less: judged irrelevant."""

_BLANKS = re.compile(r"[ \t\f\v]+")  # U+00A0 and the like belong to an id
_ITERATIONS = ("0", "Q0")  # the second of the four columns of TREC's qrels, which nothing reads
_GRADE = re.compile(r"-?0*[0-9]{1,6}")  # measures count in 32 bits


@dataclass(frozen=True, slots=True)
class Judgement:
    """One line of a qrels file: its file and line, the two ids and the grade (0: irrelevant)."""

    file: Path
    row: int
    query: str
    document: str
    grade: int


def read_run(path: Path) -> Run:
    """Reads a TREC run: six columns (query, Q0, document, rank, score, tag). Ordered by score, ties by rank, then by
    line.

    Raises `MissingData` when the file does not exist, `BadInput` with the line when it is malformed.
    """
    rows: dict[str, list[tuple[float, int, int, str]]] = {}
    for number, line in _lines(path, Refusing()):
        parts = _columns(line, 6)
        if len(parts) != 6:
            raise BadInput(
                f"{path}, line {number}: {len(parts)} columns; a TREC run has six: query Q0 document rank ..."
            )
        rows.setdefault(parts[0], []).append((*_score_and_rank(path, number, parts[4], parts[3]), number, parts[2]))
    run: Run = {}
    for query, found in rows.items():
        found.sort(key=lambda row: (-row[0], row[1], row[2]))
        run[query] = {document: score for score, _, _, document in found}
        if len(run[query]) < len(found):
            raise BadInput(f"{path}: query '{query}' names a document twice; each may stand once.")
    return run


def write_run(path: Path, run: Mapping[str, Mapping[str, float]], tag: str) -> None:
    """Writes a TREC run atomically; ranks follow the order of the documents. Columns are separated by tabs when an id
    or the tag contains a blank."""
    names = (*run, tag, *(document for documents in run.values() for document in documents))
    between = "\t" if any(_BLANKS.search(name) for name in names) else " "
    with whole_file(path) as file:
        for query, documents in run.items():
            for rank, (document, score) in enumerate(documents.items(), start=1):
                file.write(between.join((query, "Q0", document, str(rank), repr(score), tag)) + "\n")


def read_qrels(path: Path, *, of_trec: bool = False) -> Qrels:
    """Reads BEIR's qrels: `query-id<TAB>corpus-id<TAB>score` under a header line. With `of_trec` TREC's lines are read
    too: `query 0 document grade`. Raises as `read_run`."""
    return grades(read_judgements(path, Refusing(), of_trec=of_trec))


def read_judgements(path: Path, rejects: Rejects, *, of_trec: bool = False) -> Iterator[Judgement]:
    """The lines of a qrels file in order, without the header. Unusable lines go to `rejects`.

    Raises `MissingData` when the file does not exist, `BadInput` when it cannot be read.
    """
    tabs: bool | None = None
    for number, line in _lines(path, rejects):
        tabs = "\t" in line if tabs is None else tabs
        parts = [part.strip() for part in line.split("\t")] if tabs else _BLANKS.split(line.strip())
        if number == 1 and parts[-1] == "score":
            continue
        if of_trec and len(parts) == 4 and parts[1] in _ITERATIONS:
            del parts[1]
        if len(parts) != 3 or not all(parts) or not _GRADE.fullmatch(parts[2]):
            rejects.add(
                path, number, "not 'query-id<TAB>corpus-id<TAB>score' with a whole score below a million.", line
            )
            continue
        yield Judgement(path, number, parts[0], parts[1], int(parts[2]))


def grades(judgements: Iterable[Judgement]) -> Qrels:
    """Grades by query and document; the last grade of a pair judged twice."""
    qrels: Qrels = {}
    for judgement in judgements:
        qrels.setdefault(judgement.query, {})[judgement.document] = judgement.grade
    return qrels


def _lines(path: Path, rejects: Rejects) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line that is not blank."""
    try:
        check_encoding(path)
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                line = _line(path, number, raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw, rejects)
                if line.strip():
                    yield number, line
    except FileNotFoundError:
        raise MissingData(f"{path} does not exist.") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}).") from None


def _line(path: Path, number: int, raw: bytes, rejects: Rejects) -> str:
    """The text of a line; "" for one that is not UTF-8."""
    try:
        return raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        shown = raw.decode("utf-8", "backslashreplace").rstrip("\r\n")
        rejects.add(path, number, not_utf8(error), shown)
        return ""


def _columns(line: str, count: int) -> list[str]:
    parts = [part.strip() for part in line.split("\t")]
    return parts if len(parts) == count else _BLANKS.split(line.strip())


def _score_and_rank(path: Path, number: int, score: str, rank: str) -> tuple[float, int]:
    try:
        value, place = float(score), int(rank)
    except ValueError:
        raise BadInput(f"{path}, line {number}: rank '{rank}' or score '{score}' is no number.") from None
    if not math.isfinite(value):
        raise BadInput(f"{path}, line {number}: the score is {score}; it must be finite.")
    return value, place
