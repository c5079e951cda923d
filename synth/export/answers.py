"""The passages that are relevant to each query over all sources, so that none of them is also exported as a
negative."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace

from contract.reading import read_same, reading_key
from contract.records import Group, Record
from synth.export.sources import Kind, Source
from synth.export.statement import instruction
from synth.scratch import digest

SAME_AS_ANSWER = "negative with the text of an answer"
SAME_AS_QUERY = "negative with the text of its query"


class Answers:
    """A set on disk of (query, instruction, passage), compared as a reader would (`contract.reading`)."""

    def __init__(self, sources: Iterable[Source], connection: sqlite3.Connection, *, state_intent: bool) -> None:
        """`state_intent`: the exported instruction states the intent, so records also differ by it."""
        self._connection = connection
        self._state_intent = state_intent
        connection.execute("CREATE TABLE answer (key BLOB PRIMARY KEY) WITHOUT ROWID")
        for source in sources:
            connection.executemany("INSERT OR IGNORE INTO answer VALUES (?)", ((key,) for key in self._keys(source)))

    def against(self, record: Record) -> str:
        """The reason why an irrelevant record is not a negative: its passage answers its query in another record, or is
        the query itself. "" for any other record."""
        if record.relevant:
            return ""
        if read_same(record.passage, record.query):
            return SAME_AS_QUERY
        return SAME_AS_ANSWER if self._has(record, record.passage) else ""

    def apart(self, group: Group) -> Group | None:
        """The group without the negatives that answer its query in another group; None when none is left."""
        kept = tuple(passage for passage in group.negatives if not self._has(group, passage))
        if len(kept) == len(group.negatives):
            return group
        return replace(group, negatives=kept) if kept else None

    def _has(self, item: Record | Group, passage: str) -> bool:
        found = self._connection.execute("SELECT 1 FROM answer WHERE key = ?", (self._key(item, passage),)).fetchone()
        return found is not None

    def _keys(self, source: Source) -> Iterator[bytes]:
        if source.kind() is Kind.RECORDS:
            return (self._key(record, record.passage) for record in source.records() if record.relevant)
        return (self._key(group, group.positive) for group in source.groups())

    def _key(self, item: Record | Group, passage: str) -> bytes:
        stated = instruction(item, self._state_intent) if isinstance(item, Record) else item.instruction
        return digest(reading_key(item.query), reading_key(stated or ""), reading_key(passage))
