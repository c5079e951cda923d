"""One source as rows of one format. Unusable rows are left out and counted; a repeated id stops the export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from contract.about import About
from contract.records import Group, Record
from synth.errors import BadInput, BadSettings
from synth.export.answers import SAME_AS_ANSWER, Answers
from synth.export.formats import Format, Shape, lce_groups, listwise_of_group, listwise_rows, setwise_rows
from synth.export.query_groups import GroupedRecords, QueryGroup
from synth.export.sources import Kind, Source, allowed
from synth.export.statement import instruction
from synth.scratch import SeenKeys, digest, scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """`only_licence` keeps rows all of whose licences are named there (empty: any). `with_trace` keeps records that
    have one.

    `state_intent` ends each instruction with a sentence on whether indirect relevance is accepted.
    """

    format: Format = Format.POINTWISE
    only_licence: Sequence[str] = ()
    state_intent: bool = False
    with_trace: bool = False
    shape: Shape = field(default_factory=Shape)


class Reader:
    """Reads one source. `rows` may be called repeatedly; the first pass counts the rows left out and checks the ids."""

    def __init__(self, source: Source, settings: ExportOptions, about: About, seen: SeenKeys, answers: Answers) -> None:
        self._source = source
        self._settings = settings
        self._about = about
        self._seen = seen
        self._answers = answers
        self._kind = source.kind()
        if self._kind is Kind.GROUPS and settings.format is Format.POINTWISE:
            raise BadSettings(f"{source.path} holds groups, which are no labelled pairs; export them as {Format.LCE}.")

    def rows(self, folder: Path, stack: ExitStack) -> Callable[[], Iterable[Any]]:
        """Records, groups or objects, depending on the format. Query groups are kept under `folder` until `stack` is
        closed."""
        if self._settings.format is Format.POINTWISE:
            first_pass = _FirstPass()
            return lambda: self._records(first_pass())
        if self._kind is Kind.GROUPS:
            first_pass = _FirstPass()
            return lambda: (row for group in self._groups(first_pass()) for row in self._of_group(group))
        groups = GroupedRecords(self._records(True), stack.enter_context(scratch(folder)))
        first_pass = _FirstPass()
        return lambda: self._of_query_groups(groups, first_pass())

    def _records(self, first: bool) -> Iterator[Record]:
        for number, record in enumerate(self._source.records(), start=1):
            if self._wanted(number, record, first):
                yield replace(record, instruction=instruction(record, self._settings.state_intent))

    def _groups(self, first: bool) -> Iterator[Group]:
        for number, group in enumerate(self._source.groups(), start=1):
            if not self._wanted(number, group, first):
                continue
            apart = self._answers.apart(group)
            if first:
                kept = 0 if apart is None else len(apart.negatives)
                self._about.left_out += +Counter({SAME_AS_ANSWER: len(group.negatives) - kept})
            if apart is not None:
                yield apart

    def _wanted(self, number: int, item: Record | Group, first: bool) -> bool:
        if first and self._seen.first_row(digest(item.id), number) is not None:
            raise BadInput(
                f"{self._source.path}, row {number}: the id '{item.id}' was given before; leave one of the two out, "
                f"since ids name examples and must differ over all sources."
            )
        reason = ""
        if not allowed(item.licence, self._settings.only_licence):
            reason = f"licence {item.licence}"
        elif self._settings.with_trace and isinstance(item, Record) and item.trace is None:
            reason = "no trace"
        elif isinstance(item, Record):
            reason = self._answers.against(item)
        if reason and first:
            self._about.left_out[reason] += 1
        return not reason

    def _of_group(self, group: Group) -> Iterator[Any]:
        if self._settings.format is Format.LCE:
            return iter((group,))
        if self._settings.format is Format.SETWISE:
            return setwise_rows(group, self._settings.shape)
        return listwise_of_group(group, self._settings.shape)

    def _of_query_groups(self, groups: Iterable[QueryGroup], first: bool) -> Iterator[Any]:
        for group in groups:
            rows = list(self._of_query_group(group))
            if not rows and first:
                kind = "too few negatives" if group.relevant else "no relevant passage"
                self._about.left_out[f"query with {kind}"] += 1
            yield from rows

    def _of_query_group(self, group: QueryGroup) -> Iterator[Any]:
        if self._settings.format is Format.LISTWISE:
            yield from listwise_rows(group, self._settings.shape)
        else:
            for made in lce_groups(group, self._settings.shape):
                yield from self._of_group(made)


class _FirstPass:
    """Returns True on the first call, then False."""

    def __init__(self) -> None:
        self._first = True

    def __call__(self) -> bool:
        first, self._first = self._first, False
        return first
