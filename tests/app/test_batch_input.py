"""What people give `limrank batch`: ids that look alike, files of all kinds as IN, and OUTs that are something else.
Each is answered, or refused in one sentence before work begins; nothing that stood there is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.app.batches import batch, call_lines, read, write_calls
from tests.app.conftest import Service
from tests.full_disk import room_for

NOWHERE = ("--url", "http://127.0.0.1:9")


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """The one sentence that the command ends with."""
    assert batch(*argv) == 2, argv
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("limrank batch: ")
    return line


def test_ids_are_told_apart_sign_by_sign(service: Service, tmp_path: Path) -> None:
    """Composed and decomposed, with blanks around, in other letters: they are the caller's, and come back as given."""
    names = ["caf\u00e9", "cafe\u0301", "a", " a", "a ", "a\u00a0", "A", "\uff41", "\U0001f9b6", "1", "1.0", "\u0000"]
    rows = [row | {"custom_id": name} for row, name in zip(call_lines(len(names)), names, strict=True)]
    source, out = write_calls(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    for done in (5, 10, 12, 12):
        assert batch(source, out, "--url", service.url, "--limit", 5) == 0
        assert len(read(out)) == done
    assert list(read(out).keys() ^ set(names)) == []
    assert service.documents == 3 * len(names)


def test_an_id_that_stands_twice_in_another_spelling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [b'{"custom_id": "caf\xc3\xa9", "url": "/v1/rerank", "body": {}}'] * 2
    lines[1] = lines[1].replace(b"\xc3\xa9", b"\\u00e9")
    (tmp_path / "in.jsonl").write_bytes(b"\n\n".join(lines))
    assert "custom_id 'caf\u00e9' stands in calls 1 and 2" in refused(
        capsys, tmp_path / "in.jsonl", tmp_path / "out", *NOWHERE
    )
    assert not (tmp_path / "out").exists()


def test_lines_as_other_programs_write_them(service: Service, tmp_path: Path) -> None:
    """A byte order mark, line ends of Windows, blank lines, no line end behind the last."""
    rows = [json.dumps(row).encode() for row in call_lines(3)]
    (tmp_path / "in.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\r\n\r\n  \r\n".join(rows))
    assert batch(tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--url", service.url) == 0
    assert sorted(read(tmp_path / "out.jsonl")) == ["call-0", "call-1", "call-2"]


def test_a_call_that_asks_for_a_stream_is_answered_whole(service: Service, tmp_path: Path) -> None:
    rows = call_lines(3)
    for row in rows:
        row["body"]["stream"] = True
    source = write_calls(tmp_path / "in.jsonl", rows)
    assert batch(source, tmp_path / "out.jsonl", "--url", service.url) == 0
    assert len(read(tmp_path / "out.jsonl")) == 3


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--limit", 0), "'limit' is '0': Input should be greater than or equal to 1."),
        (("--limit", -1), "'limit' is '-1'"),
        (("--limit", "many"), "'limit' is 'many'"),
        (("--concurrency", 0), "'concurrency' is '0'"),
        (("--timeout-seconds", "inf"), "'timeout_seconds' is 'inf': Input should be a finite number"),
        (("--timeout-seconds", "nan"), "'timeout_seconds' is 'nan'"),
        (("--timeout-seconds", 0), "'timeout_seconds' is '0'"),
    ],
)
def test_numbers_that_cannot_be(
    flags: tuple[object, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_calls(tmp_path / "in.jsonl", call_lines(1))
    assert told in refused(capsys, source, tmp_path / "out.jsonl", *NOWHERE, *flags)


@pytest.mark.parametrize(
    "content",
    [
        b"a text without a line end",
        b"one line\nand another",
        b'{"name": "a config on one line"}',
        b"{name: 'a config that is no JSON'}",
        b'{"id":"batch_requests", "of": "another program',
        b'{"custom_id": 1}\n{"a": 2',
        b"[1, 2]",
        b'{\n  "pretty": true\n}',
        b"\x89PNG\r\n\x1a\n\x00 a picture",
    ],
)
@pytest.mark.parametrize("ending", ["", ".errors"])
def test_a_file_that_is_something_else_stays_as_it_is(
    content: bytes, ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = write_calls(tmp_path / "in.jsonl", call_lines(1)), tmp_path / "out.jsonl"
    other = tmp_path / f"out.jsonl{ending}"
    other.write_bytes(content)
    told = refused(capsys, source, out, *NOWHERE)
    assert "name another OUT" in told
    assert other.read_bytes() == content


def test_a_torn_only_line_is_dropped(service: Service, tmp_path: Path) -> None:
    source, out = write_calls(tmp_path / "in.jsonl", call_lines(2)), tmp_path / "out.jsonl"
    for torn in (b'{"id":"batch_req_12', b"{"):
        out.write_bytes(torn)
        assert batch(source, out, "--url", service.url) == 0
        assert len(read(out)) == 2


def test_a_line_that_was_mended_is_answered(service: Service, tmp_path: Path) -> None:
    rows, out = call_lines(3), tmp_path / "out.jsonl"
    good, rows[1]["body"] = rows[1]["body"], {"query": "x"}
    assert batch(write_calls(tmp_path / "in.jsonl", rows), out, "--url", service.url) == 1
    assert list(read(tmp_path / "out.jsonl.errors")) == ["call-1"]
    rows[1]["body"] = good
    assert batch(write_calls(tmp_path / "in.jsonl", rows), out, "--url", service.url) == 0
    assert len(read(out)) == 3
    assert not (tmp_path / "out.jsonl.errors").exists()


def test_an_out_in_folders_that_are_not_there(service: Service, tmp_path: Path) -> None:
    out = tmp_path / "a" / "b" / "out.jsonl"
    assert batch(write_calls(tmp_path / "in.jsonl", call_lines(1)), out, "--url", service.url) == 0
    assert len(read(out)) == 1


def test_an_out_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_calls(tmp_path / "in.jsonl", call_lines(1))
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    (tmp_path / "folder.parquet").mkdir()
    for out, told in (
        (tmp_path, "is a folder; name another file"),
        ("/", "which is a folder; name a file"),
        (".", "which is a folder; name a file"),
        ("/dev/full", "is no regular file"),
        ("/dev/null", "is no regular file"),
        (tmp_path / ("x" * 300), "cannot be written (File name too long)"),
        (loop, "cannot be written"),
        (source / "out", "cannot be written"),
        (source / "out.parquet", "cannot be written"),
        (tmp_path / "folder.parquet", "is there already"),
    ):
        assert told in refused(capsys, source, out, *NOWHERE), out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.parquet", "in.jsonl", "loop"]


def test_an_in_that_is_written_beside_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its name, by a link, and where the lines of a Parquet OUT are kept until the end."""
    rows = call_lines(2)
    torn = write_calls(tmp_path / "o.jsonl.errors", rows).read_bytes() + b'{"custom_id": "half'
    for name in ("o.jsonl", "o.jsonl.errors", "o.jsonl.run.json", "o.parquet.jsonl"):
        (tmp_path / name).write_bytes(torn)
    (tmp_path / "hard").hardlink_to(tmp_path / "o.jsonl")
    (tmp_path / "soft").symlink_to(tmp_path / "o.jsonl")
    for source, out, told in (
        ("o.jsonl", "o.jsonl", "the same file"),
        ("hard", "o.jsonl", "the same file"),
        ("soft", "o.jsonl", "the same file"),
        ("o.jsonl.errors", "o.jsonl", "which is written beside OUT"),
        ("o.jsonl.run.json", "o.jsonl", "which is written beside OUT"),
        ("o.parquet.jsonl", "o.parquet", "which is written beside OUT"),
    ):
        assert told in refused(capsys, tmp_path / source, tmp_path / out, *NOWHERE)
        assert (tmp_path / source).read_bytes() == torn


def test_an_in_that_can_be_read_only_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "fifo")
    for source in (tmp_path / "fifo", "/dev/zero"):
        assert "is no regular file" in refused(capsys, source, tmp_path / "out.jsonl", *NOWHERE)


@pytest.mark.parametrize("begin", [b"", b"{", b"\xef\xbb\xbf"])
def test_two_gigabytes_without_a_line(begin: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "in.jsonl").open("wb") as file:
        file.write(begin)
        os.truncate(file.fileno(), 2 * 2**30)  # takes no room
    assert "line 1 is longer than 64 MiB" in refused(capsys, tmp_path / "in.jsonl", tmp_path / "out.jsonl", *NOWHERE)


@pytest.mark.parametrize("room", [300, 3000])
def test_no_space_left_loses_nothing(
    room: int, service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = write_calls(tmp_path / "in.jsonl", call_lines(40)), tmp_path / "out.jsonl"
    with room_for(room):
        assert batch(source, out, "--url", service.url, "--concurrency", 2) == 1
    told = capsys.readouterr().err
    assert f"{out}: the disk takes no more" in told.splitlines()[-1]
    assert "Traceback" not in told
    kept = len(read(out))
    assert kept * 200 < room
    assert batch(source, out, "--url", service.url) == 0
    assert len(read(out)) == 40
    assert service.documents <= (40 + 2 * 2) * 3
