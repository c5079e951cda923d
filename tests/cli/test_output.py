"""Tables, and files that are replaced whole: a full disk and a bad record are sentences, and what stood there stays."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.errors import BadInput, DiskFull
from cli.output import say, table, translate_disk_errors, write_json_lines, write_text, write_whole
from contract.records import RecordError
from tests.full_disk import room_for


def test_columns_are_of_equal_width(capsys: pytest.CaptureFixture[str]) -> None:
    say(table([("stage", "calls"), ("a long one", "1"), ("b", "")]))
    assert capsys.readouterr().out == "stage       calls\na long one  1\nb\n"


def test_a_full_disk_names_the_row_and_leaves_what_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "rows.jsonl"
    assert write_json_lines(path, {"format": "test"}, [{"row": 1}]) == 1
    before = path.read_bytes()
    with room_for(20_000), pytest.raises(DiskFull, match=r"rows\.jsonl: the disk takes no more at row \d+ \(File too"):
        write_json_lines(path, {}, ({"row": number} for number in range(10_000)))
    assert path.read_bytes() == before
    with room_for(2000), pytest.raises(DiskFull, match=r"takes no more \(File too large\); free space or choose"):
        write_text(path, "x" * 5000)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_record_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    def rows() -> Iterator[int]:
        yield 1
        raise RecordError("in.jsonl, line 2: not one JSON object.")

    def write(path: Path, rows: object) -> int:
        return len(list(rows))  # type: ignore[call-overload]

    with pytest.raises(BadInput, match="line 2: not one JSON object"):
        write_whole(tmp_path / "out", write, rows())


def test_other_errors_of_the_system_pass(tmp_path: Path) -> None:
    for number in (errno.EACCES, errno.EIO):
        with pytest.raises(OSError, match="as it came") as caught, translate_disk_errors(tmp_path):
            raise OSError(number, "as it came")
        assert caught.value.errno == number
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        with pytest.raises(DiskFull, match="free space"), translate_disk_errors(tmp_path):
            raise OSError(number, "full")
