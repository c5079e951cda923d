"""What is wrong with a training is told all at once, and where a base comes from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contract.checkpoint.packaged import minilm
from tests.processes import ROOT, clean_environment
from trainer.cli import run
from trainer.errors import BadBase
from trainer.run import ready
from trainer.run.bases import has_output, packaged_names, problem_of, resolve


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")
    words = ["--data", tmp_path / "none.jsonl", "--base", "no base", "--folder", tmp_path / "file"]
    words += ["--batch", 7, "--device-batch", 2, "--exclude", tmp_path / "ids.txt"]
    assert run(["cross-encoder", *map(str, words)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 5
    for sentence in (
        "no base cannot be read: No such file or directory; --base takes a folder, a hub id",
        "is a file; name a folder",
        "ids.txt does not exist",
        "A batch of 7 does not divide",
        "none.jsonl cannot be read",
    ):
        assert any(sentence in line for line in told), told


def test_it_is_told_before_a_model_library_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys; from trainer.cli import run\n"
        "code = run(['cross-encoder', '--data', 'none', '--base', 'x', '--folder', 'y'])\n"
        "print(code, sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout == "2 []\n", done.stderr


def test_a_file_of_the_other_kind_names_the_export(
    groups_file: Path, records_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = ["--base", str(tmp_path), "--folder", str(tmp_path / "run")]
    assert run(["sft", "--data", str(groups_file), *rest]) == 2
    assert "this training takes records: `limrank synth export --format pointwise`" in capsys.readouterr().err
    assert run(["cross-encoder", "--data", str(records_file), *rest]) == 2
    assert "this training takes groups: `limrank synth export --format lce`" in capsys.readouterr().err


def test_a_base_with_an_output_is_known_by_its_files(tmp_path: Path) -> None:
    assert has_output(resolve(Path("limrank-mini-ce")).folder)
    assert not has_output(resolve(Path("all-MiniLM-L6-v2")).folder)
    with pytest.raises(BadBase, match="no such file"):
        has_output(tmp_path)


def test_a_base_is_a_folder_a_hub_id_or_a_packaged_model(tiny_bert: Path) -> None:
    assert resolve(tiny_bert).folder == tiny_bert
    assert problem_of(Path("Qwen/Qwen2.5-7B")) is None
    for name in ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"):
        base = resolve(Path(name))
        assert base.folder == minilm()
        assert (base.name, base.licence) == ("sentence-transformers/all-MiniLM-L6-v2", "Apache-2.0")
    assert {"limrank-mini-ce", "smollm2-135m-instruct"} <= set(packaged_names())


def test_the_shipped_cross_encoder_is_prepared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    base = resolve(Path("limrank-mini-ce"))
    assert (base.folder / "model.safetensors").is_file()
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert resolve(Path("limrank-mini-ce")) == base


def test_a_hub_that_cannot_be_reached_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(BadBase, match=r"The base a/b cannot be fetched from the hub \(no route to host\)"):
        resolve(Path("a/b"))


@pytest.mark.parametrize(
    ("wanted", "fast", "chosen", "warned"),
    [
        ("auto", True, "bfloat16", False),
        ("auto", False, "float32", False),
        ("bfloat16", False, "bfloat16", True),
        ("bfloat16", True, "bfloat16", False),
        ("float32", True, "float32", False),
    ],
)
def test_the_precision_is_what_the_machine_computes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wanted: str,
    fast: bool,
    chosen: str,
    warned: bool,
) -> None:
    monkeypatch.setattr(ready, "_has_bfloat16", lambda: fast)
    assert ready.precision_of(wanted) == chosen
    assert ("is emulated on this CPU" in capsys.readouterr().err) is warned
