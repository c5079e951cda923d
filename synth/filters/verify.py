"""Verification: runs every record through the filters, counts dropped ones by filter and reason, and keeps them."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from cli.output import translate_disk_errors, translate_record_errors, write_whole
from contract.about import About, beside, write_about
from contract.files import whole_file
from contract.records import Record, read_records, write_records
from synth.filters.chain import FilterSettings, build_filters
from synth.filters.coherence import Coherence
from synth.filters.decontamination import Decontamination
from synth.filters.filter import Filter
from synth.filters.report import FilterCount, Score, VerifyReport
from synth.scratch import SeenKeys, digest, scratch

REPEATED = "repeated-id"


def verify(
    records: Iterable[Record],
    out: Path,
    settings: FilterSettings,
    *,
    against: Path | None = None,
    dropped_out: Path | None = None,
    cost: float = 0.0,
) -> VerifyReport:
    """Writes the records that pass every filter to `out`, in order, and the others to `dropped_out`. The sidecar
    `OUT.about.json` states the contents and their `cost`.

    The filters see a record in order until one drops it. `dropped_out` (default `OUT.dropped.jsonl`) has one object per
    line: the filter, the reason, the record. A second record with the same id is dropped before the filters.

    `against` is a file of records whose labels are known to be right. Records are looked up in it by query, instruction
    and passage; a label is right if it equals the one found. The report then contains precision and recall of each
    filter alone, and of all together.

    Raises `BadInput` for an invalid row, naming its line, and `DiskFull`; `out` is then unchanged.
    """
    dropped_out = dropped_out or out.with_name(f"{out.name}.dropped.jsonl")
    out.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        filters = stack.enter_context(build_filters(settings, out.parent))
        connection = stack.enter_context(scratch(out.parent))
        known = _known_labels(against, connection)
        with translate_disk_errors(dropped_out), whole_file(dropped_out) as file:
            run = _Verification(filters, SeenKeys(connection), known, _Dropped(dropped_out, file), cost)
            run.report.kept = write_whole(out, write_records, run.kept(records))
        report = run.done()
        run.about.left_out = +Counter({item.name: item.dropped.total() for item in report.filters})
        apart_from = [evaluation.name for evaluation in settings.evaluation]
        with translate_disk_errors(beside(out)):
            write_about(run.about, out, {"filters": list(settings.only), "evaluation": apart_from})
        return report


@dataclass(frozen=True, slots=True)
class _Dropped:
    """The file of dropped records, open for writing; its final name is `path`."""

    path: Path
    file: IO[str]

    def add(self, record: Record, name: str, reason: str) -> None:
        with translate_disk_errors(self.path):
            row = {"filter": name, "reason": reason, "record": asdict(record)}
            self.file.write(json.dumps(row, ensure_ascii=False) + "\n")


class _Verification:
    def __init__(
        self,
        filters: Sequence[Filter],
        ids: SeenKeys,
        known: sqlite3.Connection | None,
        dropped: _Dropped,
        cost: float,
    ) -> None:
        self._filters = filters
        self._ids = ids
        self._known = known
        self._dropped = dropped
        self._counts = {name: FilterCount(name) for name in (REPEATED, *(filter_.name for filter_ in filters))}
        self.about = About("pointwise", cost=cost)
        self.report = VerifyReport()
        if known is not None:
            self.report.scores = {name: Score() for name in ("all", *(filter_.name for filter_ in filters))}

    def kept(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            self.report.shown += 1
            name, reason = self._verdict(record)
            if name is None:
                self.about.count(record)
                yield record
                continue
            self._counts[name].dropped[reason] += 1
            self._dropped.add(record, name, reason)

    def done(self) -> VerifyReport:
        self.report.filters = list(self._counts.values())
        self.report.notes = [note for each in self._filters if isinstance(each, Decontamination) for note in each.notes]
        self.report.undecided_traces = sum(
            filter_.undecided for filter_ in self._filters if isinstance(filter_, Coherence)
        )
        return self.report

    def _verdict(self, record: Record) -> tuple[str | None, str]:
        self._counts[REPEATED].shown += 1
        earlier = self._ids.first_row(digest(record.id), self.report.shown)
        if earlier is not None:
            return REPEATED, "the id was given before"
        right = self._is_right(record)
        return self._first_reason(record) if right is None else self._scored(record, right)

    def _first_reason(self, record: Record) -> tuple[str | None, str]:
        for filter_ in self._filters:
            self._counts[filter_.name].shown += 1
            reason = filter_.reason(record)
            if reason is not None:
                return filter_.name, reason
        return None, ""

    def _scored(self, record: Record, right: bool) -> tuple[str | None, str]:
        """Like `_first_reason`, but asks every filter, so that each gets its own score."""
        self.report.labelled += 1
        first: tuple[str | None, str] = (None, "")
        for filter_ in self._filters:
            reason = filter_.reason(record)
            self.report.scores[filter_.name].add(reason is None, right)
            if first[0] is None:
                self._counts[filter_.name].shown += 1
                first = (filter_.name, reason) if reason is not None else first
        self.report.scores["all"].add(first[0] is None, right)
        return first

    def _is_right(self, record: Record) -> bool | None:
        """Whether the record's label is the known one; None when no label is known."""
        if self._known is None:
            return None
        found = self._known.execute("SELECT relevant FROM known WHERE key = ?", (_pair(record),)).fetchone()
        return None if found is None else bool(found[0]) == record.relevant


def _known_labels(path: Path | None, connection: sqlite3.Connection) -> sqlite3.Connection | None:
    """The labels of the file at `path`, in a table on disk."""
    if path is None:
        return None
    connection.execute("CREATE TABLE known (key BLOB PRIMARY KEY, relevant INTEGER) WITHOUT ROWID")
    with translate_record_errors():
        rows = ((_pair(record), record.relevant) for record in read_records(path))
        connection.executemany("INSERT OR IGNORE INTO known VALUES (?, ?)", rows)
    return connection


def _pair(record: Record) -> bytes:
    return digest(record.query, record.instruction or "", record.passage)
