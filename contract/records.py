"""Record and Group: the training examples that packages exchange, and the JSONL files that hold them.

A file is UTF-8 with one JSON object per line. Its first line, the header, is `{"format": "limrank.records", "version":
1}`, or the same with `limrank.groups`. Reading is strict: an unknown or repeated key, a wrong type, a blank text or a
truncated line raises `RecordError`, a sentence with the file and the line. Reading and writing stream; neither holds a
file in memory, so repeated ids are not detected. Writing is atomic.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from contract.files import write_json_lines
from contract.rows import RecordError as RecordError  # noqa: PLC0414 - callers import it from here
from contract.rows import (
    check_apart,
    check_member,
    check_text,
    check_texts,
    checked_keys,
    checked_row,
    header,
    member,
    read_items,
)

RECORDS, GROUPS = "limrank.records", "limrank.groups"
_OPTIONAL = frozenset({"instruction", "trace", "negative_type", "votes"})


class Difficulty(StrEnum):
    """What it takes to see that a passage answers: reading it, joining facts, or applying a definition of relevance."""

    DIRECT = "direct"
    MULTI_STEP = "multi_step"
    INSTRUCTION = "instruction"


class Intent(StrEnum):
    """Whether a passage that helps without answering is accepted (`indirect`), or only one that answers (`direct`)."""

    DIRECT = "direct"
    INDIRECT = "indirect"


class NegativeType(StrEnum):
    """Why a negative looks relevant: five kinds are written on purpose, the others are mined."""

    SAME_TOPIC_OTHER_INTENT = "same_topic_other_intent"
    WRONG_ENTITY = "wrong_entity"
    OUTDATED = "outdated"
    CONTRADICTING = "contradicting"
    PARTIAL = "partial"
    BM25 = "bm25"
    BI_ENCODER = "bi_encoder"


_FORMER = {"right_focus_wrong_type": NegativeType.SAME_TOPIC_OTHER_INTENT}  # former names in older files


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """How many blind judgements said relevant (`true`) and how many not (`false`); at least one in total."""

    true: int
    false: int

    def __post_init__(self) -> None:
        for name, count in (("true", self.true), ("false", self.false)):
            if type(count) is not int or count < 0:
                raise RecordError(f"'votes.{name}' is {count!r}; it must be a whole number, 0 or more.")
        if self.true + self.false == 0:
            raise RecordError("'votes' counts no vote; leave it out (null) instead.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One (query, passage) pair with its label and, if there is one, the reasoning (`trace`) that leads to it.

    `instruction` is the query's own definition of relevance, if it has one. `source` names the origin of the pair;
    `licence` is an SPDX expression of licences joined by ` AND ` (see `licence_parts`). `negative_type` may be set only
    when `relevant` is False.
    """

    id: str
    query: str
    passage: str
    instruction: str | None = None
    relevant: bool
    trace: str | None = None
    source: str
    licence: str
    domain: str
    difficulty: Difficulty
    negative_type: NegativeType | None = None
    intent: Intent
    votes: Votes | None = None

    def __post_init__(self) -> None:
        check_texts(self, "id", "query", "passage", "source", "licence", "domain", optional=("instruction", "trace"))
        if type(self.relevant) is not bool:
            raise RecordError(f"'relevant' is {self.relevant!r}; it must be true or false.")
        check_member("difficulty", self.difficulty, Difficulty)
        check_member("intent", self.intent, Intent)
        if self.negative_type is not None:
            check_member("negative_type", self.negative_type, NegativeType)
            if self.relevant:
                raise RecordError(f"'negative_type' is '{self.negative_type}' on a relevant passage; set it to null.")
        if self.votes is not None and not isinstance(self.votes, Votes):
            raise RecordError(f"'votes' is {self.votes!r}; it must be two counts, true and false.")

    @property
    def agreement(self) -> float:
        """Share of the votes, in [0, 1], that agree with the label; 1 without votes."""
        if self.votes is None:
            return 1.0
        agreeing = self.votes.true if self.relevant else self.votes.false
        return agreeing / (self.votes.true + self.votes.false)

    @property
    def accepted(self) -> bool:
        """Whether more than half of the votes agree with the label."""
        return self.agreement > 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A contrastive training example: one query with one relevant passage and one or more irrelevant ones.

    Refuses a positive whose text is also among its negatives (`contract.reading`).
    """

    id: str
    query: str
    instruction: str | None = None
    positive: str
    negatives: tuple[str, ...]
    source: str
    licence: str
    domain: str

    def __post_init__(self) -> None:
        check_texts(self, "id", "query", "positive", "source", "licence", "domain")
        if not isinstance(self.negatives, tuple) or not self.negatives:
            raise RecordError(f"'negatives' is {self.negatives!r}; it must be a list of at least one passage.")
        for number, passage in enumerate(self.negatives):
            check_text(f"negatives[{number}]", passage)
        check_apart(self.positive, self.negatives)


def licence_parts(expression: str) -> tuple[str, ...]:
    """The licences of an expression such as `CC-BY-4.0 AND MIT`, in order and without duplicates."""
    return tuple(dict.fromkeys(part.strip() for part in expression.split(" AND ") if part.strip()))


def join_licences(licences: Iterable[str]) -> str:
    """One expression with every licence of `licences` (expressions themselves), sorted and without duplicates."""
    return " AND ".join(sorted({part for licence in licences for part in licence_parts(licence)}))


def record_from_json(line: str) -> Record:
    """Parses the record on one line of a file. Raises `RecordError`."""
    row = checked_row(line, Record, "Record", _OPTIONAL)
    if isinstance(row.get("negative_type"), str):
        row["negative_type"] = _FORMER.get(row["negative_type"], row["negative_type"])
    for name, kind in (("difficulty", Difficulty), ("intent", Intent), ("negative_type", NegativeType)):
        if row.get(name) is not None:
            row[name] = member(name, row[name], kind)
    if row.get("votes") is not None:
        row["votes"] = Votes(**checked_keys(row["votes"], Votes, "Votes", _OPTIONAL, "'votes'"))
    return Record(**row)


def group_from_json(line: str) -> Group:
    """Parses the group on one line of a file. Raises `RecordError`."""
    row = checked_row(line, Group, "Group", _OPTIONAL)
    if isinstance(row["negatives"], list):
        row["negatives"] = tuple(row["negatives"])
    return Group(**row)


def to_json(item: Record | Group) -> str:
    """One line without its newline: every field in declaration order, so that equal items give equal bytes."""
    return json.dumps(asdict(item), ensure_ascii=False, separators=(",", ":"))


def read_records(path: Path) -> Iterator[Record]:
    """The records of a file in order. Raises `RecordError` with the file and line, `OSError` as `open` does."""
    return read_items(path, RECORDS, record_from_json)


def read_groups(path: Path) -> Iterator[Group]:
    """The groups of a file in order. Raises `RecordError` with the file and line, `OSError` as `open` does."""
    return read_items(path, GROUPS, group_from_json)


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Writes a file of records and returns their number. After an error `path` is unchanged."""
    return write_json_lines(path, header(RECORDS), map(asdict, records))


def write_groups(path: Path, groups: Iterable[Group]) -> int:
    """Writes a file of groups and returns their number. After an error `path` is unchanged."""
    return write_json_lines(path, header(GROUPS), map(asdict, groups))
