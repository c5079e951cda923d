"""Tables, and files that are replaced whole: a full disk and a bad record are sentences, and what stood there stays."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.errors import BadInput, DiskFull
from cli.output import (
    drop_output,
    say,
    say_result,
    table,
    tell,
    translate_disk_errors,
    write_json_lines,
    write_text,
    write_whole,
)
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


def test_signs_that_the_output_lacks_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding, printed in (("ascii", b"a \\u75db caf\\udce9\n"), ("utf-8", b"a \xe7\x97\x9b caf\\udce9\n")):
        out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr("sys.stdout", out)
        say("a \u75db caf\udce9")
        out.flush()
        assert out.detach().getvalue() == printed


def test_a_message_that_names_any_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error of a program that calls us need not escape, as Python's own does."""
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")
    monkeypatch.setattr("sys.stderr", err)
    tell("caf\udce9 cannot be read")
    assert err.detach().getvalue() == b"caf\\udce9 cannot be read\n"


def test_what_is_closed_is_written_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{name}", None)
    say_result("text")
    tell("text")
    drop_output()


def test_an_output_without_room_is_a_sentence_and_one_without_a_reader_is_not_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr("sys.stdout", full)
        with pytest.raises(DiskFull, match=r"The standard output takes no more \(No space left on device\)"):
            say_result("text")
        say_result("what follows goes nowhere, so the process ends as it should")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        with pytest.raises(BrokenPipeError):
            say_result("text")
        drop_output()
