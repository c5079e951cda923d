"""Converts a MedQuAD folder into a file of records and a file of groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cli.output import write_whole
from contract.records import Group, Record, write_groups, write_records
from recipes.limrank_mini.medquad.candidates import Candidates, candidates
from recipes.limrank_mini.medquad.groups import GroupShares, question_groups
from recipes.limrank_mini.medquad.questions import Questions, read_questions
from recipes.limrank_mini.medquad.records import RecordShares, question_records
from retrieval.id_files import read_ids
from synth.sources.first_stages import first_stages
from synth.sources.rejects import rejects_beside


@dataclass(slots=True)
class MedquadReport:
    """Counts of the output by kind, and of what was left out by reason."""

    records: int = 0
    relevant: int = 0
    with_trace: int = 0
    groups: int = 0
    characters: int = 0
    negatives: Counter[str] = field(default_factory=Counter)
    instructions: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    rejected: int = 0

    def count(self, record: Record) -> Record:
        """Counts one record and returns it."""
        self.relevant += record.relevant
        self.with_trace += record.trace is not None
        self.characters += sum(map(len, (record.query, record.passage, record.instruction or "", record.trace or "")))
        if record.negative_type is not None:
            self.negatives[record.negative_type] += 1
        if record.instruction is not None:
            self.instructions[record.id.rsplit("/", 1)[1]] += 1
        return record


def import_medquad(
    folder: Path,
    records_out: Path,
    groups_out: Path,
    *,
    split: str = "train",
    excluded_file: Path | None = None,
    bi_encoder: str | Path | None = None,
    depth: int = 50,
    record_shares: RecordShares | None = None,
    group_shares: GroupShares | None = None,
) -> MedquadReport:
    """Writes the records and groups of one split. The same inputs and models give the same bytes.

    `excluded_file` lists ids of documents, one per line, that must not be used, nor the questions they answer.
    Negatives come only from documents judged in `split`. Without `bi_encoder` (any id or folder that
    sentence-transformers reads) BM25 mines alone. Raises `BadInput`, `BadSettings`, `DiskFull`; no output is changed
    then.
    """
    report = MedquadReport()
    with rejects_beside(records_out) as rejects:
        questions = read_questions(folder, split, read_ids(excluded_file), rejects)
        report.left_out.update(questions.left_out)
        report.rejected = rejects.count
    found = list(_candidates(questions, bi_encoder, depth, report))
    report.records = write_whole(records_out, write_records, _records(found, record_shares or RecordShares(), report))
    report.groups = write_whole(groups_out, write_groups, _groups(found, group_shares or GroupShares()))
    return report


def _candidates(
    questions: Questions, bi_encoder: str | Path | None, depth: int, report: MedquadReport
) -> Iterator[Candidates]:
    texts = [answer.text for answer in questions.answers]
    retrievers = first_stages(texts, bi_encoder)
    return candidates(questions.questions, questions.answers, retrievers, depth, report.left_out)


def _records(found: list[Candidates], shares: RecordShares, report: MedquadReport) -> Iterator[Record]:
    for one in found:
        for record in question_records(one, shares):
            yield report.count(record)


def _groups(found: list[Candidates], shares: GroupShares) -> Iterator[Group]:
    for one in found:
        yield from question_groups(one, shares)
