"""The inputs of a run, chosen once and stored in its folder: `plan.jsonl`, one row per unit of work.

The choice depends only on files, quotas and a seed, whose hash is in the file's header. A folder with a plan made from
other inputs is refused, so that no run is resumed by mistake.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from cli.output import write_json_lines
from retrieval.json_rows import read_rows
from synth.errors import BadInput, BadSettings
from synth.scratch import SeenKeys, digest, scratch

FORMAT = "limrank.plan"
VERSION = 1


class Plan:
    """The plan of one run folder. `rows` is the number of its rows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            self._header = json.loads(file.readline())
        if self._header.get("format") != FORMAT or self._header.get("version") != VERSION:
            raise BadInput(f"{path}, line 1: not the header of a plan of version {VERSION}.")
        self.rows: int = self._header["rows"]

    @property
    def fingerprint(self) -> str:
        return str(self._header["fingerprint"])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with self._path.open("rb") as file:
            file.readline()
            for line in file:
                yield json.loads(line)


def make_plan(path: Path, fingerprint: str, count: int, rows: Iterable[Mapping[str, Any]]) -> Plan:
    """The existing plan at `path` if it was made from the same inputs, otherwise a new one of `count` rows.

    Raises `BadSettings` when a different plan exists.
    """
    if path.exists():
        plan = Plan(path)
        if plan.fingerprint != fingerprint:
            raise BadSettings(
                f"{path.parent} was begun with other inputs, quotas or another random seed; go on with those, or give "
                "another folder."
            )
        return plan
    write_json_lines(path, {"format": FORMAT, "version": VERSION, "fingerprint": fingerprint, "rows": count}, rows)
    return Plan(path)


def fingerprint(settings: Mapping[str, Any], inputs: Iterable[Path]) -> str:
    """A hash of settings and of the contents of input files. Raises `BadInput` for a file that cannot be read."""
    hasher = sha256(json.dumps(settings, sort_keys=True).encode())
    for path in inputs:
        try:
            with path.open("rb") as file:
                hasher.update(file_digest(file, "sha256").digest())
        except OSError as error:
            raise BadInput(f"{path}: cannot be read ({error.strerror}); give the path of a JSONL file.") from None
    return hasher.hexdigest()


def texts(path: Path, ids: tuple[str, ...], names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """(id, text) of every row, under the first of the allowed names that the row has.

    Raises `BadInput` with the row's number for a malformed row, a repeated id or a blank text.
    """
    with scratch() as database:
        seen = SeenKeys(database)
        for row in read_rows(path):
            value = row.value
            if value is None:
                raise BadInput(f"{path}, row {row.number}: {row.problem}")
            row_id = next((value[name] for name in ids if name in value), None)
            text = next((value[name] for name in names if name in value), None)
            problem = _problem(row_id, text, ids, names)
            if problem:
                raise BadInput(f"{path}, row {row.number}: {problem}")
            name = str(row_id).strip()
            first = seen.first_row(digest(name), row.number)
            if first is not None:
                raise BadInput(f"{path}, row {row.number}: the id '{name}' stands at row {first} too; ids must differ.")
            yield name, str(text).strip()


def _problem(row_id: object, text: object, ids: tuple[str, ...], names: tuple[str, ...]) -> str:
    if not isinstance(row_id, str | int) or isinstance(row_id, bool) or not str(row_id).strip():
        return f"the id is {row_id!r}; give one under '{ids[0]}'."
    if not isinstance(text, str) or not text.strip():
        return f"the text of '{row_id}' is {text!r}; give one under '{names[0]}'."
    return ""
