"""`limrank`: one help page, the programs behind it, and the ranked table."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from app import cli
from app.rerank import COMMAND, PROGRAM
from cli.commands import run_command
from tests.app.conftest import Service
from tests.interface.programs import SCRIPTS


def rerank(*argv: object) -> int:
    return run_command("limrank rerank", PROGRAM, COMMAND, [str(word) for word in argv], [COMMAND])


def test_the_help_page_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    page = capsys.readouterr().out
    for door in cli.DOORS:
        assert f"\n  {door.name} " in page
    assert cli.main([]) == 2
    assert capsys.readouterr().err == page


def test_an_unknown_command_names_the_close_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rerun"]) == 2
    assert "did you mean rerank?" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["serve", "synth", "train", "eval"])
def test_the_programs_of_old_answer_behind_the_door(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"limrank-{name}" in SCRIPTS
    monkeypatch.setattr("sys.argv", ["pytest"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    try:
        code = cli.main([name, "--help"])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 0
    assert f"limrank-{name}" in capsys.readouterr().out


def test_files_are_ranked_into_a_table(service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("a.txt", "the moon"), ("b.txt", "gout pain in a joint\nand more")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert rerank("gout pain", tmp_path / "a.txt", tmp_path / "b.txt", "--url", service.url) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split() == ["rank", "relevance", "from", "text"]
    assert rows[1].split()[0] == "1"
    assert "b.txt" in rows[1]
    assert rows[1].endswith("gout pain in a joint and more")
    assert "a.txt" in rows[2]


def test_lines_of_the_standard_input_as_json_with_reasoning(
    service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _stdin(monkeypatch, b"the moon\n\ngout pain\n")
    assert rerank("gout pain", "--url", service.url, "--json", "--show", "reasoning", "--top", 1) == 0
    answer = json.loads(capsys.readouterr().out)
    (result,) = answer["results"]
    assert (result["origin"], result["document"]["text"]) == ("3", "gout pain")
    assert result["reasoning"]["text"] == "It answers the question."
    _stdin(monkeypatch, b"gout pain\n")
    assert rerank("gout pain", "--url", service.url, "--show", "reasoning") == 0
    assert capsys.readouterr().out.splitlines()[2].strip() == "It answers the question."


def test_mode_and_budget_are_those_of_the_call(
    service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scripted model has nothing fitted, and the answer says so: adaptive mode was asked for."""
    _stdin(monkeypatch, b"gout pain\n")
    assert rerank("gout pain", "--url", service.url, "--mode", "adaptive", "--reasoning-budget", 0, "--json") == 0
    told = capsys.readouterr()
    (result,) = json.loads(told.out)["results"]
    assert result["status"] == "direct"
    assert "Mode 'adaptive' is answered as 'direct'" in told.err
    _stdin(monkeypatch, b"gout pain\n")
    assert rerank("gout pain", "--url", service.url, "--mode", "adaptive", "--show", "reasoning", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert "adaptive" in answer["meta"], "--show reasoning leaves the mode that was named"


def test_what_cannot_be_ranked_is_told_in_one_sentence(
    service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.txt").write_text(" \n", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("caf\u00e9".encode("latin-1"))
    _stdin(monkeypatch, b"\n")
    for words, told in (
        (("q",), "holds no line that is not blank"),
        (("q", tmp_path / "none.txt"), "none.txt cannot be read"),
        (("q", tmp_path), "cannot be read (Is a directory)"),
        (("q", tmp_path / "empty.txt"), "is empty"),
        (("q", tmp_path / "latin.txt"), "is no text in UTF-8"),
        ((), "required: QUERY"),
        (("q", "--show", "reasoning", "--mode", "direct"), "needs --mode reasoning"),
        (("q", "--url", "http://127.0.0.1:9", "--model", "x"), "contradict each other"),
        (("q", "--mode", "reasoning", "--reasoning-budget", 9), "is for --mode adaptive"),
        (("q", "--reasoning-budget", 9), "is for --mode adaptive"),
        (("q", "--mode", "adaptive", "--reasoning-budget", -1), "reasoning_budget"),
    ):
        assert rerank(*words) == 2, words
        complained = capsys.readouterr().err
        assert told in complained, complained
        assert len(complained.splitlines()) == 1
    _stdin(monkeypatch, b"text\n")
    assert rerank(" ", "--url", service.url) == 1
    assert "query must not be empty" in capsys.readouterr().err
    _stdin(monkeypatch, b"text\n")
    assert rerank("q", "--url", service.url, "--key-variable", "NO_SUCH_VARIABLE") == 2
    assert "NO_SUCH_VARIABLE" in capsys.readouterr().err


def _stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    stream: Any = io.TextIOWrapper(io.BytesIO(content))
    monkeypatch.setattr("sys.stdin", stream)
