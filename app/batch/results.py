"""The files of a batch: OUT with one line per answer, OUT.errors with one per failure, and OUT.run.json, which names
the model that made them. The first two are append-only logs; a line torn by a kill is dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import orjson
from filelock import FileLock, Timeout

from app.batch.calls import Call, Calls
from cli.errors import BadInput
from cli.output import translate_disk_errors, write_text
from contract.files import LineLog, disk_is_full, whole_file, whole_lines

# Transient failures: the next run retries them.
_PASSING = frozenset({0, 408, 424, 429, 500, 502, 503, 504})
_BEGIN = b'{"id":"batch_req_'  # of every line that `result_line` writes


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended. `status` is 0 when there was no answer. `error` is a code and a sentence, None on success."""

    status: int
    body: Any
    error: tuple[str, str] | None = None


def result_line(call: Call, outcome: Outcome) -> bytes:
    """A line of OUT or OUT.errors, with its newline."""
    body = outcome.body
    if isinstance(body, dict) and "id" in body:
        body = {**body, "id": call.id}  # otherwise every run would generate a new one
    response = {"status_code": outcome.status, "request_id": call.id, "body": body} if outcome.status else None
    error = None if outcome.error is None else {"code": outcome.error[0], "message": outcome.error[1]}
    row = {"id": call.id, "custom_id": call.custom_id, "response": response, "error": error}
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


class Results:
    """Opens the files of OUT, for one run at a time. `done` flags the calls that need no further answer.

    Raises BadInput when another run holds the files, or when they belong to other calls.
    """

    def __init__(self, out: Path, calls: Calls) -> None:
        self.out = out
        self.errors = out.with_name(out.name + ".errors")
        self._about = out.with_name(out.name + ".run.json")
        self.done = np.zeros(len(calls), dtype=np.bool_)
        self.answered = self.failed = 0
        self._stack = ExitStack()
        try:
            self._open(calls)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:  # also where the disk takes no more
            self.sync()
        if not self._failures.size:
            self.errors.unlink(missing_ok=True)

    def belongs_to(self, model: Mapping[str, Any]) -> None:
        """Records the model of the first run. Raises BadInput when OUT was begun with another model."""
        known = _about(model)
        if self._about.exists():
            before = _read_about(self._about)
            if before != known:
                raise BadInput(
                    f"{self.out} was begun with {_named(before)} and would go on with {_named(known)}, whose scores "
                    "are others; name another OUT."
                )
            return
        write_text(self._about, json.dumps(known, indent=2, ensure_ascii=False) + "\n")

    def write(self, line: bytes, *, failed: bool) -> None:
        """Appends an answer or a failure."""
        path, log = (self.errors, self._failures) if failed else (self.out, self._answers)
        with translate_disk_errors(path):
            log.append(line)

    def sync(self) -> None:
        """Flushes both files to disk. Raises DiskFull."""
        for path, log in ((self.out, self._answers), (self.errors, self._failures)):
            with translate_disk_errors(path):
                log.sync()

    def _open(self, calls: Calls) -> None:
        with translate_disk_errors(self.out), usable_path(self.out):
            self.out.parent.mkdir(parents=True, exist_ok=True)
            for path in (self.out, self.errors):
                _refuse_special(path)
            lock = FileLock(self.out.with_name(self.out.name + ".lock"))
            try:
                self._stack.enter_context(lock.acquire(timeout=0))
            except Timeout:
                raise BadInput(f"{self.out} is being written by another run; wait for it or name another.") from None
            self._stack.callback(lambda: Path(lock.lock_file).unlink(missing_ok=True))
            for path in (self.out, self.errors):
                _refuse_another_file(path)
            self._answers = self._stack.enter_context(LineLog(self.out))
            self.answered = sum(1 for row in _rows(self.out) if self._mark(calls, self.out, row))
            self._keep_failures(calls)
            self._failures = self._stack.enter_context(LineLog(self.errors))

    def _keep_failures(self, calls: Calls) -> None:
        """Drops transient failures from OUT.errors, and those of lines that were mended since; the others stay and
        count as done."""
        if not self.errors.exists():
            return
        kept = 0
        with whole_file(self.errors) as file:
            for _, line in whole_lines(self.errors):
                row = _parsed(self.errors, line)
                if _status(row) in _PASSING or _is_mended(calls, row):
                    continue
                if self._mark(calls, self.errors, row):
                    file.write(line.decode())
                    kept += 1
        self.failed = kept

    def _mark(self, calls: Calls, path: Path, row: Mapping[str, Any]) -> bool:
        """Marks a call as done. Returns False when it already was."""
        place = calls.row_of(str(row.get("custom_id")))
        if place is None or not calls.is_line(place, str(row.get("id"))):
            problem = "is not among the calls" if place is None else "was made from another line"
            raise BadInput(f"{path}: the answer to custom_id {row.get('custom_id')!r} {problem}; name another OUT.")
        new = not self.done[place]
        self.done[place] = True
        return bool(new)


@contextmanager
def usable_path(path: Path) -> Iterator[None]:
    """Turns a path that cannot be written into BadInput; a full disk is handled elsewhere."""
    try:
        yield
    except OSError as error:
        if disk_is_full(error):
            raise
        raise BadInput(f"{path} cannot be written ({error.strerror or error}); name another file.") from None


def _refuse_special(path: Path) -> None:
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "no regular file"
        raise BadInput(f"{path} is {what}; name another file, to which answers can be appended.")


def _refuse_another_file(path: Path) -> None:
    """Raises BadInput for a file that is none of a batch, before anything is cut off it: a file of one line without an
    end looks like a torn one."""
    if not path.exists():
        return
    if first := next(whole_lines(path), None):
        is_ours = "response" in _parsed(path, first[1])
    else:
        with path.open("rb") as file:
            is_ours = _BEGIN.startswith(file.read(len(_BEGIN)))
    if not is_ours:
        raise BadInput(f"{path} holds no answers of a batch; name another OUT.")


def _is_mended(calls: Calls, row: Mapping[str, Any]) -> bool:
    """Whether the call of a failure has changed since."""
    place = calls.row_of(str(row.get("custom_id")))
    return place is not None and not calls.is_line(place, str(row.get("id")))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    for _, line in whole_lines(path):
        yield _parsed(path, line)


def _parsed(path: Path, line: bytes) -> dict[str, Any]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        row = None
    if not isinstance(row, dict) or "custom_id" not in row:
        raise BadInput(f"{path} holds a line that is no answer of a batch; name another OUT.")
    return row


def _status(row: Mapping[str, Any]) -> int:
    response = row.get("response")
    return int(response.get("status_code", 0)) if isinstance(response, dict) else 0


def _about(model: Mapping[str, Any]) -> dict[str, Any]:
    names = ("name", "revision", "fingerprint", "temperature", "default_mode")
    budget = {name: model[name] for name in ("reasoning_budget",) if name in model}  # of adaptive mode
    return {"model": {name: model.get(name) for name in names} | budget}


def _read_about(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise BadInput(f"{path} is not as limrank batch wrote it; name another OUT.") from None


def _named(about: Any) -> str:
    model = about.get("model", {}) if isinstance(about, dict) else {}
    return f"{model.get('name')!r} ({model.get('default_mode')} mode, fingerprint {str(model.get('fingerprint'))[:12]})"
