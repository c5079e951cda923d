"""From a folder of documents to a model that is served, without a language model: whole, killed, and refused."""

from __future__ import annotations

import json
import math
import os
import random
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from service.models.store import resolve
from tests.app.tune.material import pdf_bytes
from tests.app.tune.running import result, start, tune
from tests.full_disk import room_for
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def light(tiny_model: Path, light_bi_encoder: Path) -> dict[str, Any]:
    """Settings of short runs. Without the last two there are four passes over the groups, by the packaged
    bi-encoder."""
    return {"model": tiny_model, "bi_encoder": light_bi_encoder, "epochs": 1}


@pytest.fixture(scope="module")
def tuned(documents: Path, light: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The folder of an undisturbed run, and its exit code."""
    out = tmp_path_factory.mktemp("tuned") / "out"
    return out, tune(documents, out, **light)


def steps(out: Path) -> dict[str, Any]:
    return {
        path.name.removesuffix(".manifest.json"): json.loads(path.read_text(encoding="utf-8"))["told"]
        for path in (out / "work").glob("*.manifest.json")
    }


def test_a_folder_becomes_a_model_that_is_served_and_a_report(tuned: tuple[Path, int]) -> None:
    out, code = tuned
    told = steps(out)
    assert told["read"] == {"documents": 10, "passages": 40, "files": 10, "left_out": 0}
    assert told["choose"]["held_out"] == 2
    assert told["filter"]["labelled"] >= 20
    checkpoint = resolve(str(out / "model"))
    assert checkpoint.manifest.kind == "cross-encoder"
    assert set(checkpoint.manifest.licences) == {"unknown"}
    assert "held-out queries of its documents" in (out / "model" / "README.md").read_text(encoding="utf-8")
    page = (out / "report.html").read_text(encoding="utf-8")
    verdict = re.search(r'<div class="verdict.*?">(.*?)</div>', page)
    assert verdict is not None
    assert verdict.group(1) == told["evaluate"]["verdict"]
    assert code == (0 if told["evaluate"]["helps"] else 3)
    assert verdict.group(1).startswith("The new model does not help" if code else "The new model ")
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page), "the page needs no other file"
    for said in ("BM25", "the new model", "limrank serve --model", "Largest", "helm install"):
        assert said in page
    assert code in (0, 3)


def test_the_same_command_again_does_nothing_and_says_the_same(
    documents: Path,
    light: dict[str, Any],
    tuned: tuple[Path, int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, code = tuned
    before = result(out)
    (out / "work" / "label.seconds.json.part").write_text("{")  # of a run that was killed there
    assert tune(documents, out, **light) == code
    said = capsys.readouterr().err
    assert said.count("(done before)") == 10
    assert result(out) == before


def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    documents: Path, light: dict[str, Any], tuned: tuple[Path, int], tmp_path: Path
) -> None:
    whole, code = tuned
    out = tmp_path / "out"
    choose = random.SystemRandom()
    moments = (("choose", 1.0), ("filter", 2.0), ("train", 0.5))  # about when it is in a later step
    for step, wait in ((step, choose.uniform(0, longest)) for step, longest in moments):
        process = start(documents, out, **light)
        manifest = out / "work" / f"{step}.manifest.json"
        wait_until(lambda: manifest.exists() or process.poll() is not None, f"the step {step}")  # noqa: B023
        with suppress(subprocess.TimeoutExpired):
            process.wait(wait)
        process.kill()
        process.wait()
    assert tune(documents, out, **light) == code
    assert result(out) == result(whole)


def test_other_settings_do_only_what_depends_on_them_again(
    documents: Path,
    light: dict[str, Any],
    tuned: tuple[Path, int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    shutil.copytree(tuned[0], out, symlinks=True)
    tune(documents, out, **light | {"learning_rate": 1e-5, "epochs": 0.5})
    said = capsys.readouterr().err
    for step in ("read", "choose", "queries", "vectors", "candidates", "label", "filter"):
        assert re.search(rf"^{step} .*\(done before\)$", said, re.MULTILINE), step
    for step in ("train", "evaluate", "finish"):
        assert not re.search(rf"^{step} .*\(done before\)$", said, re.MULTILINE), step
    assert "about " in said


def test_the_users_judged_queries_are_the_test_and_the_others_are_learned(
    documents: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """With the bi-encoder and the number of passes that are chosen where nobody names them."""
    queries, out = tmp_path / "queries.jsonl", tmp_path / "out"
    rows = [
        {"query": "how do I look after moss", "relevant": ["moss.md"]},
        {"query": "when is a rose watered", "relevant": {"rose.md": 2, "gone.md": 1}},
        {"query": "what does a hedge want in summer"},
    ]
    queries.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert tune(documents, out, tiny_model, queries=queries) in (0, 3)
    told = steps(out)
    assert told["queries"]["tested"] == {"own": 2}
    assert told["queries"]["trained"]["own"] == 1
    assert json.loads((out / "work" / "choice.json").read_text())["held_out"] == ["moss.md", "rose.md"]
    calibrating = told["filter"]["groups"] // 8
    assert told["train"]["steps"] == 4 * math.ceil((told["filter"]["groups"] - calibrating) / 8)
    licences = {"unknown", "Apache-2.0", "CC0-1.0"}  # of the base, the packaged bi-encoder, and the documents
    assert set(resolve(str(out / "model")).manifest.licences) == licences
    assert "CC0-1.0" in (out / "report.html").read_text(encoding="utf-8")
    trained = (out / "work" / "groups.jsonl").read_text(encoding="utf-8")
    assert "what does a hedge want in summer" in trained
    assert "how do I look after moss" not in trained
    assert "the moss suffers" not in trained
    measured = json.loads((out / "work" / "measured.json").read_text())
    assert measured["queries"] == 2


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "holds no documents: it is empty"),
        (
            {"a.md": b"# One\n\n" + b"A word or two more of this kind. " * 20},
            "There is 1 document with text, and 4 are",
        ),
        ({"a.md": b"short", "b.md": b""}, "holds no text of twelve words or more."),
        ({"corpus.jsonl": b'{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}\n'}, "the id 'a' was given at row 1"),
        ({"corpus.jsonl": b'{"_id": 1, "text": "x"}\n{"_id": " 1 ", "text": "y"}\n'}, "the id '1' was given at row 1"),
        ({"corpus.jsonl": b'{"_id": "a", "text": "x"}\n{"_id": "b", "text": "caf\xe9"}\n'}, "row 2: not UTF-8"),
        ({"corpus.jsonl": b'{"_id": "a", "text": "x"}\n{"_id": "b", "te'}, "row 2: not one JSON object"),
        (
            {"corpus.jsonl": b'{"_id": "a", "text": "' + b"alone of its kind " * 9 + b'"}\n'},
            "There is 1 document with",
        ),
        ({"scan.pdf": pdf_bytes("")}, "scan.pdf holds no text: its pages are pictures; run OCR on it first."),
        ({"a.docx": b"PK\x03\x04"}, "none of its 1 files is of a kind that is read"),
        ({"a.md": b"a\x00b" * 99, "b.md": b"\xff\xfe\x00"}, "a.md is no text (it holds zero bytes)."),
    ],
)
def test_bad_documents_are_told_in_one_sentence(
    content: dict[str, bytes],
    sentence: str,
    tiny_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    for name, text in content.items():
        (folder / name).write_bytes(text)
    assert tune(folder, tmp_path / "out", tiny_model) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("limrank tune: ")]
    assert sentence in line


def test_two_gigabytes_are_left_out_and_told(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    huge = tmp_path / "documents" / "huge.md"
    huge.parent.mkdir()
    with huge.open("wb") as file:
        os.truncate(file.fileno(), 2 * 2**30)  # takes no room
    for documents in (huge.parent, huge):
        assert tune(documents, tmp_path / "out", tiny_model) == 2
        assert "huge.md has 2,048 MiB, more than the 64 that are read; split it." in capsys.readouterr().err


def test_paths_that_cannot_be(
    documents: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for given, out in (
        (tmp_path / ("x" * 300), tmp_path / "out"),
        (tmp_path / "none", tmp_path / "out"),
        (tmp_path / "loop", tmp_path / "out"),
        (documents, tmp_path / ("x" * 300)),
        (documents, tmp_path / "file"),
        (documents, tmp_path / "file" / "out"),
        (documents, tmp_path / "loop"),
        (documents, tmp_path / os.fsdecode(b"caf\xe9")),
    ):
        assert tune(given, out, tiny_model) == 2, (given, out)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("limrank tune: ")
        assert (given if out == tmp_path / "out" else out).name.encode("utf-8", "backslashreplace").decode() in line
    assert tune(documents, tmp_path / "out", tmp_path / "no-model") == 2
    assert "no-model cannot be read" in capsys.readouterr().err
    assert tune(documents, tmp_path / "out", tiny_model, bi_encoder=tmp_path / "no-encoder") == 2
    assert "no-encoder" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("flag", ["learning_rate", "epochs", "budget"])
@pytest.mark.parametrize("value", ["inf", "nan", "-1", "0", "much"])
def test_numbers_that_cannot_be(
    flag: str, value: str, documents: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(documents, tmp_path / "out", tiny_model, **{flag: value}) == 2
    assert f"'{flag}' is '{value}'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_disk_that_is_full_again_and_again_ends_with_the_same_bytes(
    documents: Path,
    light: dict[str, Any],
    tuned: tuple[Path, int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each time a later step has no room. The documents lie in a folder whose name is no UTF-8."""
    named, out, ended = tmp_path / os.fsdecode(b"caf\xe9"), tmp_path / "out", []
    shutil.copytree(documents, named)
    for room in (20_000, 1_000_000, 2_000_000):
        with room_for(room):
            assert tune(named, out, **light) in (1, 2)  # 2: the trainer's
        told = capsys.readouterr().err
        assert re.search("no space is left|takes no more|make room or name another", told.splitlines()[-1]), told
        assert not (out / "model").exists()
        ended.append(told.count("(done before)"))
    assert ended == sorted(set(ended)), "no later run did less"
    assert tune(named, out, **light) == tuned[1]
    assert result(out) == result(tuned[0])
    assert (out / "report.html").exists()


def test_a_full_disk_loses_nothing(
    documents: Path, tiny_model: Path, tuned: tuple[Path, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with room_for(8_000):
        assert tune(documents, out, tiny_model) == 1
    told = capsys.readouterr().err
    assert "the disk takes no more" in told
    assert not list((out / "work").glob("*.part"))
    assert not (out / "model").exists()


def test_nothing_but_the_files_of_the_steps_is_left(tuned: tuple[Path, int]) -> None:
    left = {path.name for path in (tuned[0] / "work").iterdir()}
    assert not {name for name in left if name.startswith(("vectors-", "evaluation-"))}


def test_the_result_does_not_lie_among_the_documents(
    documents: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(documents, documents / "out", tiny_model) == 2
    assert "which is read; name a folder elsewhere." in capsys.readouterr().err
    assert not (documents / "out").exists()


def test_two_runs_in_one_folder(documents: Path, tiny_model: Path, tmp_path: Path) -> None:
    from app.tune.work import Work

    with Work(tmp_path / "out"):
        assert tune(documents, tmp_path / "out", tiny_model) == 2
