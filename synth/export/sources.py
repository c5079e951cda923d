"""Sources of examples: a run folder, a file of records or a file of groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cli.output import translate_record_errors
from contract.about import AboutError, stated_cost
from contract.records import Group, Record, licence_parts, read_groups, read_records
from synth.errors import BadInput, BadSettings
from synth.pipeline import examples
from synth.run.folder import read_totals


class Kind(StrEnum):
    """The kind of examples in a source."""

    RECORDS = "records"
    GROUPS = "groups"


@dataclass(frozen=True, slots=True)
class Source:
    """`path` is a run folder or a file; `count` is the number of rows to draw from it (None: all)."""

    path: Path
    count: int | None = None

    @classmethod
    def named(cls, text: str) -> Source:
        """Parses `PATH` or `PATH=COUNT`, as in `--mix rank1.jsonl=14000`. Raises `BadSettings`."""
        path, equals, count = text.rpartition("=")
        if not equals:
            return cls(Path(text))
        if not count.isdigit() or int(count) == 0:
            raise BadSettings(f"'{text}' does not end in a count; write PATH=COUNT with a whole number, or PATH alone.")
        return cls(Path(path), int(count))

    def kind(self) -> Kind:
        """The kind, according to the first line. Raises `BadInput` for any other file."""
        if self.path.is_dir():
            return Kind.RECORDS
        try:
            with self.path.open("rb") as file:
                first = file.readline(200)
        except OSError as error:
            raise BadInput(f"{self.path}: cannot be read ({error.strerror}); give a run folder or a file.") from None
        for kind in Kind:
            if f'"limrank.{kind}"'.encode() in first:
                return kind
        raise BadInput(f"{self.path}: neither a run folder nor a file of records or groups (by its first line).")

    def cost(self) -> float:
        """The money that a run folder has spent according to its journal, or the cost stated in a file's sidecar.
        Raises `BadInput`."""
        if self.path.is_dir():
            return read_totals(self.path).cost
        try:
            return stated_cost(self.path)
        except AboutError as error:
            raise BadInput(f"{error} Mend it or remove it.") from None

    def records(self) -> Iterator[Record]:
        """The records in order; from a run folder, those whose votes agree with the label by majority."""
        with translate_record_errors():
            if self.path.is_dir():
                yield from (record for record in examples(self.path) if record.accepted)
            else:
                yield from read_records(self.path)

    def groups(self) -> Iterator[Group]:
        """The groups in order."""
        with translate_record_errors():
            yield from read_groups(self.path)


def allowed(licence: str, only: Sequence[str]) -> bool:
    """Whether every licence of an expression is one of `only`; any licence when `only` is empty."""
    return not only or all(part in only for part in licence_parts(licence))
