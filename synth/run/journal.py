"""The append-only journal of a run: one line per reply of an endpoint, written before the reply is used.

A journal is UTF-8 JSONL. Its first line is a header, `{"format": "limrank.journal", "version": 1, "id": ...}`; every
other line is a `JournalRow`. Lines are only ever appended. A process killed while writing leaves a last line without a
newline: readers skip it, the next writer cuts it off.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path

from contract.files import json_line, whole_lines
from synth.errors import JournalBroken

FORMAT = "limrank.journal"
VERSION = 1
HEADER_START = b'{"format": "limrank.journal"'  # also the start of a header torn by a kill


class Status(StrEnum):
    """The status of a reply: `accepted` and `rejected` are final; after the others the question is asked again."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    RETRY = "retry"  # paid for but unusable; the same question is asked again
    FAILED = "failed"  # no reply (endpoint down or refusing); nothing was paid, the next run asks again


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRow:
    """One reply.

    `key` is the content hash of (stage, its settings, input, model); `attempt` counts the replies to one key from 1.
    `input_id` identifies the input for a reader (`seed-17/expert/negative-2/vote-1`). `reply` is the unchanged text,
    whatever its status; `reasoning` is the model's separate reasoning, if the endpoint returns it. `cost` is in the
    currency of the configured prices; `reason` says why a reply was not accepted ("" if it was). `at` is in seconds
    since 1970 (UTC); `seconds` is the endpoint's response time.
    """

    stage: str
    key: str
    attempt: int
    input_id: str
    model: str
    reply: str
    reasoning: str
    prompt_tokens: int
    completion_tokens: int
    cost: float
    status: Status
    reason: str
    at: float
    seconds: float


FIELDS = tuple(field.name for field in fields(JournalRow))


def row_to_line(row: JournalRow) -> bytes:
    """The line of a row, with its newline."""
    return json_line({name: getattr(row, name) for name in FIELDS})


def row_from_line(line: bytes) -> JournalRow:
    """Parses the row on one line. Raises `ValueError` when it is not one."""
    try:
        row = json.loads(line)
        return JournalRow(**(row | {"status": Status(row["status"])}))
    except (TypeError, KeyError) as error:
        raise ValueError(f"not a journal row ({error})") from None


def read_journal(path: Path) -> Iterator[JournalRow]:
    """The rows of a journal in order, one at a time. A torn last line is skipped.

    Raises `JournalBroken` with the file and line when any other line is not a row, `OSError` as `open` does.
    """
    header = first_line(path)
    check_header(path, header)
    for number, (_, line) in enumerate(whole_lines(path, len(header)), start=2):
        try:
            yield row_from_line(line)
        except ValueError as error:
            raise JournalBroken(f"{path}, line {number}: {error}; mend or cut that line.") from None


def first_line(path: Path) -> bytes:
    """The header of a journal, or what a kill left of it. Raises `OSError` as `open` does."""
    with path.open("rb") as file:
        return file.readline()


def check_header(path: Path, line: bytes) -> str:
    """The id of the journal with this first line. Raises `JournalBroken` when it is not a journal of this version."""
    try:
        header = json.loads(line)
        if header["format"] == FORMAT and header["version"] == VERSION:
            return str(header["id"])
    except (ValueError, TypeError, KeyError):
        pass
    shown = line[:80].decode("utf-8", "replace").strip()
    raise JournalBroken(f"{path}, line 1: '{shown}' is not the header of a journal of version {VERSION}.")


def new_header() -> bytes:
    """The first line of a new journal."""
    header = {"format": FORMAT, "version": VERSION, "id": uuid.uuid4().hex}
    return json.dumps(header).encode() + b"\n"
