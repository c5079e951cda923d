"""Groups the records of a source by query in constant memory, however far apart they are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from contract.reading import reading_key
from contract.records import Record, join_licences, record_from_json, to_json
from synth.scratch import GroupedTexts, digest


@dataclass(frozen=True, slots=True)
class QueryGroup:
    """All records of one query under one instruction; of records whose passages read the same, only the first."""

    records: tuple[Record, ...]

    @property
    def first(self) -> Record:
        return self.records[0]

    @property
    def relevant(self) -> list[Record]:
        return [record for record in self.records if record.relevant]

    @property
    def irrelevant(self) -> list[Record]:
        return [record for record in self.records if not record.relevant]

    @property
    def licence(self) -> str:
        return join_licences(record.licence for record in self.records)

    @property
    def source(self) -> str:
        return ", ".join(sorted({record.source for record in self.records}))


class GroupedRecords:
    """Groups records by query and instruction as they are read; may be iterated repeatedly."""

    def __init__(self, records: Iterable[Record], connection: sqlite3.Connection) -> None:
        self._groups = GroupedTexts(connection)
        for record in records:
            key = digest(reading_key(record.query), reading_key(record.instruction or ""))
            self._groups.add(key, to_json(record))

    def __iter__(self) -> Iterator[QueryGroup]:
        for texts in self._groups:
            by_passage: dict[str, Record] = {}
            for text in texts:
                record = record_from_json(text)
                by_passage.setdefault(reading_key(record.passage), record)
            yield QueryGroup(tuple(by_passage.values()))
