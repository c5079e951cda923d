"""The append-only journal of a run: one line per reply that an endpoint gave, written before the reply is used.

A journal is UTF-8 JSONL. Its first line is a header, `{"format": "limrank.journal", "version": 1, "id": ...}`; every
other line is a `JournalRow`. Lines are only ever added. A process killed while writing leaves a last line without its
newline: readers pass over it, the next writer cuts it off.
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
    RETRY = "retry"  # paid for and unusable; the same question is asked again
    FAILED = "failed"  # no reply was had (endpoint down or refusing); nothing was paid, the next run asks again


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRow:
    """One reply.

    `key` is the content hash of (stage, its settings, input, model); `attempt` counts the replies to one key from 1.
    `input_id` names the input for a reader (`seed-17/expert/negative-2/vote-1`). `reply` is the raw text as it came,
    kept whatever its status; `reasoning` is the model's separate reasoning, where the endpoint returns it.
    `cost` is in the currency of the prices in the settings; `reason` says why a reply was not accepted ("" if it was).
    `at` is seconds since 1970 (UTC), `seconds` how long the endpoint took.
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
    """The row on one line; raises `ValueError` where it is none."""
    try:
        row = json.loads(line)
        return JournalRow(**(row | {"status": Status(row["status"])}))
    except (TypeError, KeyError) as error:
        raise ValueError(f"not a journal row ({error})") from None


def read_journal(path: Path) -> Iterator[JournalRow]:
    """The rows of a journal in the order they came, one at a time. A torn last line is passed over.

    Raises `JournalBroken` with the file and line where any other line is no row, `OSError` as `open` does.
    """
    header = first_line(path)
    check_header(path, header)
    for number, (_, line) in enumerate(whole_lines(path, len(header)), start=2):
        try:
            yield row_from_line(line)
        except ValueError as error:
            raise JournalBroken(f"{path}, line {number}: {error}; mend or cut that line.") from None


def first_line(path: Path) -> bytes:
    """The header of a journal, or as much of it as a kill left. Raises `OSError` as `open` does."""
    with path.open("rb") as file:
        return file.readline()


def check_header(path: Path, line: bytes) -> str:
    """The id of the journal whose first line this is; raises `JournalBroken` where it is no journal of this version."""
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
