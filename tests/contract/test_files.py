"""Files that survive a crash: a replaced file is old or new and never half; a log keeps its whole lines."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from contract.files import (
    LineLog,
    disk_is_full,
    json_line,
    replacing,
    sync,
    whole_file,
    whole_lines,
    write_json_lines,
    write_text,
)
from tests.full_disk import room_for

ROOT = Path(__file__).parents[2]
ROWS = some.lists(some.dictionaries(some.text(max_size=5), some.text(max_size=9) | some.integers()), min_size=1)


def fail_halfway(part: Path, error: type[BaseException]) -> None:
    part.write_text("half")
    raise error


def big_text(path: Path) -> None:
    write_text(path, "x" * 5000)


def big_rows(path: Path) -> None:
    write_json_lines(path, {"format": "test"}, ({"row": number} for number in range(500)))


def big_bytes(path: Path) -> None:
    with replacing(path) as part:
        part.write_bytes(b"x" * 5000)


@pytest.mark.parametrize("write", [big_text, big_rows, big_bytes])
def test_a_full_disk_leaves_what_stood_there_and_nothing_else(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with room_for(2000), pytest.raises(OSError, match="File too large") as caught:
        write(path)
    assert disk_is_full(caught.value)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]
    write(path)
    assert path.stat().st_size > 2000
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_while_writing_removes_the_part(tmp_path: Path, error: type[BaseException], several: bool) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    for opened in (whole_file, replacing):
        with pytest.raises(error), opened(path, several_writers=several):
            raise error
    with pytest.raises(error), replacing(path, several_writers=several) as part:
        fail_halfway(part, error)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_take_the_place_is_removed(tmp_path: Path) -> None:
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        write_text(tmp_path / "folder", "text")
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "nowhere" / "file", "text")
    with pytest.raises(NotADirectoryError), replacing(Path(__file__) / "file"):
        raise AssertionError("the folder is a file, so nothing is written")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


KILLED = """
import os, signal, sys
from pathlib import Path
from contract.files import LineLog, json_line, write_json_lines

def rows():
    for number in range(10_000):
        if number == 5_000:
            print("half", flush=True)
            sys.stdin.read()
        yield {"row": number}

path = Path(sys.argv[1])
if path.suffix == ".log":
    log = LineLog(path)
    for row in rows():
        log.append(json_line(row))
else:
    write_json_lines(path, {}, rows())
"""


def killed_halfway(path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        process.send_signal(signal.SIGKILL)


def test_a_killed_writer_leaves_the_old_file_and_the_next_one_clears_up(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("precious")
    killed_halfway(path)
    assert path.read_text() == "precious"
    assert write_json_lines(path, {"format": "test"}, [{"row": 1}]) == 1
    assert path.read_text() == '{"format": "test"}\n{"row":1}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_process_loses_no_line_that_was_appended(tmp_path: Path) -> None:
    path = tmp_path / "rows.log"
    killed_halfway(path)
    assert [json.loads(line)["row"] for _, line in whole_lines(path)] == list(range(5000))


@settings(deadline=None)
@given(before=ROWS, after=ROWS, data=some.data())
def test_a_log_cut_anywhere_keeps_its_whole_lines_and_takes_more(
    before: list[dict[str, Any]], after: list[dict[str, Any]], data: some.DataObject
) -> None:
    with TemporaryDirectory() as place:
        path = Path(place, "log")
        with LineLog(path) as log:
            starts = [log.append(json_line(row)) for row in before]
        written = path.read_bytes()
        cut = written[: data.draw(some.integers(0, len(written)))]
        path.write_bytes(cut)
        kept = before[: cut.count(b"\n")]
        assert [json.loads(line) for _, line in whole_lines(path)] == kept
        assert [start for start, _ in whole_lines(path)] == starts[: len(kept)]
        assert path.read_bytes() == cut, "reading cuts nothing off"
        with LineLog(path) as log:
            assert log.size == len(b"".join(written.splitlines(keepends=True)[: len(kept)]))
            places = [(log.append(json_line(row)), len(json_line(row))) for row in after]
            assert [json.loads(log.read(*where)) for where in places] == after
        assert [json.loads(line) for _, line in whole_lines(path)] == kept + after
        start = data.draw(some.sampled_from([0, *(start for start, _ in places)]))
        whole = path.read_bytes()
        assert b"".join(line for _, line in whole_lines(path, start)) == whole[start:]


def test_a_torn_line_longer_than_a_block_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"first\n" + b"x" * 200_000)
    with LineLog(path) as log:
        assert log.size == 6
    assert path.read_bytes() == b"first\n"
    path.write_bytes(b"x" * 200_000)
    LineLog(path).close()
    assert path.read_bytes() == b""


def test_a_line_for_which_there_is_no_room_leaves_no_part_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with LineLog(path) as log:
        log.append(b"first\n")
        with room_for(20), pytest.raises(OSError, match="File too large") as caught:
            log.append(b"x" * 100 + b"\n")
        assert disk_is_full(caught.value)
        assert path.read_bytes() == b"first\n"
        assert log.append(b"second\n") == 6
        log.sync()
    assert path.read_bytes() == b"first\nsecond\n"


def test_a_device_without_room_is_a_full_disk() -> None:
    with pytest.raises(OSError, match="No space left") as caught, Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")
    assert disk_is_full(caught.value)
    assert not disk_is_full(OSError(errno.EACCES, "Permission denied"))


def test_an_array_without_room_is_a_full_disk(tmp_path: Path) -> None:
    """NumPy's errors have no number."""
    array = np.zeros(50_000)
    for write in (lambda path: np.save(path, array), array.tofile):
        with pytest.raises(OSError, match="requested and") as caught, room_for(60_000):
            write(tmp_path / "a.npy")
        assert disk_is_full(caught.value)
    assert not disk_is_full(OSError("something else"))


def test_a_file_that_cannot_be_a_log_is_closed_again(tmp_path: Path) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(OSError):  # noqa: PT011 - the kind depends on the system
        LineLog(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208


@given(row=some.dictionaries(some.text(max_size=5), some.text(max_size=9)), compact=some.booleans())
def test_a_row_is_one_line_of_utf_8_whatever_its_texts(row: dict[str, str], compact: bool) -> None:
    line = json_line(row, compact=compact)
    assert line.count(b"\n") == 1
    assert json.loads(line.decode()) == row


def test_half_of_a_surrogate_pair_is_kept() -> None:
    for compact in (True, False):
        line = json_line({"reply": "\ud83d \u00e9"}, compact=compact)
        assert json.loads(line.decode("ascii")) == {"reply": "\ud83d \u00e9"}
    assert json_line({"a": 1, "b": "\u00e9"}) == '{"a":1,"b":"\u00e9"}\n'.encode()
    assert json_line({"a": 1, "b": "\u00e9"}, compact=False) == '{"a": 1, "b": "\u00e9"}\n'.encode()


def test_processes_that_write_one_file_at_a_time_never_tear_it(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    code = (
        "import sys\nfrom pathlib import Path\nfrom contract.files import write_text\n"
        "for _ in range(50): write_text(Path(sys.argv[1]), sys.argv[2] * 20_000, several_writers=True)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), letter], cwd=ROOT) for letter in "ab"]
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            assert path.read_text() in ("a" * 20_000, "b" * 20_000)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_can_be_flushed(tmp_path: Path) -> None:
    sync(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync(tmp_path / "nowhere")
