"""What people give `limrank rerank`: files that are no text, lines of all kinds, names of any bytes, servers that are
none. One sentence each, and no escape sequence of a document reaches the terminal."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from app import rerank as module
from app.rerank import COMMAND, PROGRAM
from cli.commands import run_command
from tests.app.conftest import Service
from tests.app.scripted_http import INFO, Reply, scripted


def rerank(*argv: object) -> int:
    return run_command("limrank rerank", PROGRAM, COMMAND, [str(word) for word in argv], [COMMAND])


def give(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


def one_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert line.startswith("limrank rerank: ")
    return line


@pytest.mark.parametrize("content", [b"", b"\n \r\n\t\n", b"\xef\xbb\xbf"])
def test_nothing_on_the_standard_input(
    content: bytes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, content)
    assert rerank("q") == 2
    assert "holds no line that is not blank" in one_sentence(capsys)


def test_a_closed_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert rerank("q") == 2
    assert "name files, or give one document a line" in one_sentence(capsys)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x89PNG\r\n\x1a\n\x00", "is no text in UTF-8 (byte 0)"),
        (b"MZ\x00\x00", "it holds zero bytes"),
        ("a text".encode("utf-16-le"), "it holds zero bytes"),
        ("a text".encode("utf-16"), "is no text in UTF-8"),
        (b"gout \x00 pain", "it holds zero bytes"),
    ],
)
def test_a_file_that_is_no_text(
    content: bytes,
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "binary").write_bytes(content)
    for words in ((tmp_path / "binary",), (tmp_path / "binary", "--lines")):
        assert rerank("q", *words) == 2
        assert told in one_sentence(capsys)
    give(monkeypatch, content)
    assert rerank("q") == 2
    assert told in one_sentence(capsys)


def test_what_has_no_end_is_not_read_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST", 1 << 20)
    with (tmp_path / "huge.txt").open("wb") as file:
        os.truncate(file.fileno(), 2 * 2**30)  # takes no room
    for path in (tmp_path / "huge.txt", "/dev/zero"):
        assert rerank("q", path) == 2
        assert "has more than the 1 MiB that are read" in one_sentence(capsys)


def test_lines_end_where_an_editor_ends_them(
    service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["gout\u2028pain", "one\x0cpage", "a\x85b", "\x1cthe moon"]
    give(monkeypatch, (f"{lines[0]}\n{lines[1]}\r\n\r\n{lines[2]}\r{lines[3]}").encode())
    assert rerank("gout pain", "--url", service.url, "--json") == 0
    results = json.loads(capsys.readouterr().out)["results"]
    found = {result["origin"]: result["document"]["text"] for result in results}
    assert found == {"1": lines[0], "2": lines[1], "4": lines[2], "5": lines[3]}


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
def test_any_sign_and_any_name_is_printed_whatever_the_terminal_has(
    encoding: str, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9 \xe2\x98\x95.txt")  # not all of it UTF-8
    text = "gout \u75db\u98ce \U0001f9b6 pain"
    path.write_text(text, encoding="utf-8")
    printed = []
    for more in (("--json",), ()):
        out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr("sys.stdout", out)
        assert rerank("gout \u75db\u98ce", path, "--url", service.url, *more) == 0
        out.flush()
        buffer: Any = out.buffer
        printed.append(buffer.getvalue().decode(encoding))
    (result,) = json.loads(printed[0])["results"]
    assert result["document"]["text"] == text
    assert os.fsencode(result["origin"]) == os.fsencode(str(path))
    assert len(printed[1].splitlines()) == 2
    assert "gout" in printed[1]


def test_json_keeps_its_signs_where_they_can_be_printed(
    service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, "Gicht ist schmerzhaft \u2013 \u75db\u98ce\n".encode())
    assert rerank("Gicht", "--url", service.url, "--json") == 0
    assert "schmerzhaft \u2013 \u75db\u98ce" in capsys.readouterr().out


def test_a_document_gives_the_terminal_no_orders(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "red\x1b[31m.txt"
    path.write_text("gout \x1b]0;title\x07 pain \x9b2J\n", encoding="utf-8")
    assert rerank("gout pain", path, "--url", service.url) == 0
    printed = capsys.readouterr().out
    assert not set(printed) & {"\x1b", "\x07", "\x9b"}
    assert "gout ]0;title pain 2J" in printed


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (None, "gave no answer"),
        ((502, b"<html>Bad Gateway</html>"), "has status 502 and no message; is the address"),
        ((429, b'{"message": "Too many; wait."}'), "Too many; wait."),
        ((500, b"[]"), "has status 500"),
        ((200, b"hello"), "is no JSON object"),
        ((200, b"[1]"), "is no JSON object"),
        ((200, b"{}"), "is no ranking"),
        ((200, b'{"results": {"index": 0}}'), "is no ranking"),
        ((200, b'{"results": [{}], "meta": null}'), "is no ranking"),
        ((200, b'{"results": [{"index": 1, "relevance_score": 0.5}]}'), "is no ranking"),
        ((200, b'{"results": [{"index": 0, "relevance_score": "high"}]}'), "is no ranking"),
        ((200, b'{"results": [{"index": 0, "relevance_score": 0.5, "reasoning": "x"}]}'), "is no ranking"),
    ],
)
def test_an_answer_that_is_none(
    reply: Reply, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, b"text\n")
    with scripted(lambda body: reply) as url:
        assert rerank("q", "--url", url) == 1
    assert told in one_sentence(capsys)


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ((200, b'{"model": "x"}'), "so it is no limrank-serve; correct the address."),
        ((200, b'{"model": {}, "default_mode": "adaptive", "limits": [1]}'), "so it is no limrank-serve"),
        ((200, b"\xff"), "so it is no limrank-serve"),
        ((301, b""), "answers 301 at /info"),
        ((401, b""), "wants a key; name the environment variable"),
        (None, "cannot be reached"),
    ],
)
def test_a_server_of_another_kind(
    info: Reply, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, b"text\n")
    with scripted(lambda body: (200, INFO), info) as url:
        assert rerank("q", "--url", url) == 1
    assert told in one_sentence(capsys)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:9", "http://", "http://[::1", "http://127.0.0.1:99999", "http://a b/", "ftp://127.0.0.1", ""]
)
def test_an_address_that_is_none(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, b"text\n")
    assert rerank("q", "--url", url) in (1, 2)
    told = one_sentence(capsys)
    assert "cannot be reached" in told or "write it like http://127.0.0.1:8080." in told


@pytest.mark.parametrize("key", ["sec ret\n", "sch\u00fcssel", "\u043a\u043b\u044e\u0447", " secret"])
def test_a_key_that_no_header_can_hold_is_told_without_being_shown(
    key: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, b"text\n")
    monkeypatch.setenv("MY_KEY", key)
    assert rerank("q", "--url", "http://127.0.0.1:9", "--key-variable", "MY_KEY") == 2
    told = one_sentence(capsys)
    assert "'key_variable' is 'MY_KEY'" in told
    assert repr(key) not in told
    assert key.strip() not in told.replace("the secret alone", "")


@pytest.mark.parametrize("name", ["a, b.txt", "a[1].txt", '["a"]', '"a".txt', "7", "1e3", "null", "a\\b", "a=b", "\ta"])
def test_a_file_may_have_any_name(
    name: str, service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for each in (name, "other"):
        (tmp_path / each).write_text("gout")
        assert rerank("gout", name, *(() if each == name else (each,)), "--url", service.url, "--json") == 0
        found = [result["origin"] for result in json.loads(capsys.readouterr().out)["results"]]
        assert found == ([name] if each == name else [name, "other"])


def test_a_closed_standard_output(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("gout")
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    for more in ((), ("--json",)):
        assert rerank("gout", tmp_path / "a", "--url", service.url, *more) == 0
    assert rerank("gout", tmp_path / "none", "--url", service.url) == 2


def test_a_standard_output_without_room(
    service: Service, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, b"gout\n")
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
        monkeypatch.setattr("sys.stdout", full)
        assert rerank("gout", "--url", service.url) == 1
    assert "The standard output takes no more (No space left on device)" in capfd.readouterr().err
