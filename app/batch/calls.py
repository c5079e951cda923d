"""The calls of a batch file: checked and indexed in one pass, then read one at a time, ordered to share prefixes.

A line is a JSON object with `custom_id`, `url` and `body`, as in OpenAI's batch files and vLLM's `run_batch`. The index
takes 40 bytes a line, whatever the length of the line.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from cli.errors import BadInput

LONGEST_LINE = 64 * 2**20
_ITEMS = ("documents", "texts", "passages")
_PRINT = slice(-32, -16)  # the part of a call's id that the index stores
_SURELY_FLAT = 200  # brackets
_PATH = re.compile(r"/(?!/)[^\x00-\x20\x7f\\]{0,2000}")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Call:
    """One line. `id` identifies it in the output and in the service's log; it is derived from the bytes of the line."""

    id: str
    custom_id: str
    url: str
    body: dict[str, Any]

    @property
    def documents(self) -> int:
        items = next((self.body[key] for key in _ITEMS if isinstance(self.body.get(key), list)), ())
        return len(items)


class Calls:
    """The calls of the file at `path`, which messages call `name`. The file must not change while this object exists.

    Raises BadInput for a file that cannot be read, a line that is no call, and a repeated `custom_id`.
    """

    def __init__(self, path: Path, name: Path | None = None) -> None:
        self.path = path
        self._name = name or path
        begins, sizes, ids, prints, groups = array("Q"), array("Q"), array("Q"), array("Q"), array("Q")
        self._file = _open(path)
        row = "line" if self._name == path else "row"
        for number, begin, line in _lines(path, self._name):
            call = parse_call(line, f"{self._name}, {row} {number}")
            begins.append(begin)
            sizes.append(len(line))
            ids.append(_number(call.custom_id.encode("utf-8", "surrogatepass")))
            prints.append(int(call.id[_PRINT], 16))
            groups.append(_group(call.body))
        self._begins, self._sizes = _array(begins), _array(sizes)
        self._ids, self._prints, self._groups = _array(ids), _array(prints), _array(groups)
        self._by_id = np.argsort(self._ids, kind="stable")
        if not len(self):
            each = "each line is an object with custom_id, url and body" if row == "line" else "give it a row for each"
            raise BadInput(f"{self._name} holds no calls; {each}.")
        self._refuse_repeated()

    def __len__(self) -> int:
        return len(self._begins)

    def place(self, row: int) -> tuple[int, int]:
        """Byte offset and length of a line."""
        return int(self._begins[row]), int(self._sizes[row])

    def call(self, row: int) -> Call:
        """Parses the call in a line. Raises BadInput when the file has changed since it was indexed."""
        begin, size = self.place(row)
        return parse_call(os.pread(self._file, size, begin), f"{self._name}, call {row + 1}")

    def row_of(self, custom_id: str) -> int | None:
        """The row of a `custom_id`, or None."""
        wanted = np.uint64(_number(custom_id.encode("utf-8", "surrogatepass")))
        place = int(np.searchsorted(self._ids, wanted, sorter=self._by_id))
        if place == len(self) or self._ids[self._by_id[place]] != wanted:
            return None
        return int(self._by_id[place])

    def is_line(self, row: int, call_id: str) -> bool:
        """Whether an answer with id `call_id` was made from the line as it is now."""
        return call_id[_PRINT] == f"{int(self._prints[row]):016x}"

    def order(self, done: np.ndarray[Any, np.dtype[np.bool_]]) -> Iterator[int]:
        """The rows that are not done. Calls that share query and instruction are consecutive, otherwise in the order of
        the file."""
        _, first, group = np.unique(self._groups, return_index=True, return_inverse=True)
        for row in np.argsort(first[group], kind="stable"):
            if not done[row]:
                yield int(row)

    def close(self) -> None:
        os.close(self._file)

    def _refuse_repeated(self) -> None:
        ordered = self._ids[self._by_id]
        twins = np.flatnonzero(ordered[1:] == ordered[:-1])
        if len(twins):
            first, second = sorted(int(self._by_id[twins[0] + more]) for more in (0, 1))
            custom_id = self.call(first).custom_id
            raise BadInput(
                f"{self._name}: custom_id {_shown(custom_id)} stands in calls {first + 1} and {second + 1}"
                f"{f' ({len(twins)} repetitions in all)' if len(twins) > 1 else ''}; give each call its own."
            )


def _open(path: Path) -> int:
    try:
        if path.is_dir():
            raise BadInput(f"{path} is a folder; name a file of calls.")
        if path.exists() and not path.is_file():
            raise BadInput(f"{path} is no regular file, and calls are read more than once; save them to one first.")
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}).") from None


def _lines(path: Path, name: Path) -> Iterator[tuple[int, int, bytes]]:
    """Number, byte offset and text of each line that is not blank; the last one may lack its newline."""
    place = 0
    with path.open("rb") as file:
        for number in range(1, 2**62):
            line = file.readline(LONGEST_LINE + 1)
            if not line:
                return
            if len(line) > LONGEST_LINE:
                raise BadInput(f"{name}, line {number} is longer than {LONGEST_LINE >> 20} MiB; is it a file of lines?")
            if line.strip():
                yield number, place, line
            place += len(line)


def parse_call(line: bytes, place: str = "the line") -> Call:
    """Parses the call in a line; `place` identifies the line in error messages. Raises BadInput."""
    try:
        row = orjson.loads(line.removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        raise BadInput(f"{place}: is no JSON object in UTF-8 ({error}).") from None
    if not isinstance(row, dict):
        raise BadInput(f"{place}: must be an object with custom_id, url and body.")
    custom_id, url, body = row.get("custom_id"), row.get("url"), row.get("body")
    if not isinstance(custom_id, str) or not custom_id:
        raise BadInput(f"{place}: 'custom_id' must be a text that is not empty.")
    if not isinstance(url, str) or not _PATH.fullmatch(url):
        raise BadInput(f"{place}: 'url' is {_shown(url)}; it must be a path such as /v1/rerank.")
    if row.get("method") not in (None, "POST"):
        raise BadInput(f"{place}: 'method' is {_shown(row['method'])}; only POST is there.")
    if not isinstance(body, dict):
        raise BadInput(f"{place}: 'body' must be an object, the body of a rerank call.")
    if line.count(b"[") + line.count(b"{") > _SURELY_FLAT and not _can_be_written(body):
        raise BadInput(f"{place}: 'body' is nested too deeply to be sent; send it flatter.")
    return Call(f"batch_req_{blake2b(line.strip(), digest_size=16).hexdigest()}", custom_id, url, body)


def _can_be_written(body: dict[str, Any]) -> bool:
    try:
        orjson.dumps(body)
    except TypeError:  # it reads deeper values than it writes
        return False
    return True


def _group(body: dict[str, Any]) -> int:
    """A hash of query and instruction, which form the prefix of a call's prompts."""
    query = body.get("query")
    text = query.get("text") if isinstance(query, dict) else query  # the NIM shape has an object here
    return _number(orjson.dumps([body.get("instruction"), text, body.get("mode")]))


def _number(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big")


def _array(values: array[int]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return np.frombuffer(values, dtype=np.uint64) if len(values) else np.empty(0, np.uint64)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
