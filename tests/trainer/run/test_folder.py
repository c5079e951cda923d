"""The run folder: under several processes, as a distributed run has them, and what it binds of the training data."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from trainer.errors import BadData, BadRunFolder
from trainer.run.folder import RunFolder, content_sha256, mark_complete

SETTINGS = {"learning_rate": 0.1, "folder": "run", "base_name": "x" * 100_000}


def open_all(folders: list[Path]) -> None:
    for folder in folders:
        RunFolder(folder).open(SETTINGS)


def test_processes_that_open_a_run_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(60)]
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("fork")) as pool:
        for done in [pool.submit(open_all, folders) for _ in range(4)]:
            done.result()
    for folder in folders:
        assert json.loads((folder / "settings.json").read_text())["learning_rate"] == 0.1
        assert {path.name for path in folder.iterdir()} == {"settings.json", "checkpoints"}


def begin_again(folders: list[Path]) -> list[str]:
    found = []
    for folder in folders:
        RunFolder(folder).clear_half_written()
        found.append(str(RunFolder(folder).last_checkpoint()))
    return found


def test_processes_that_begin_again_at_once_find_the_same_checkpoint(tmp_path: Path) -> None:
    """After a kill that left a newer one half written. One process clears up; no harm is done if more of them do."""
    folders = [tmp_path / str(number) for number in range(60)]
    for folder in folders:
        for name in ("checkpoint-900", "checkpoint-1000", "checkpoint-1100", "checkpoint-1200"):
            (folder / "checkpoints" / name).mkdir(parents=True)
            for part in range(8):
                (folder / "checkpoints" / name / str(part)).touch()
        mark_complete(folder / "checkpoints" / "checkpoint-900")
        mark_complete(folder / "checkpoints" / "checkpoint-1000")
    expected = [str(folder / "checkpoints" / "checkpoint-1000") for folder in folders]
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("fork")) as pool:
        assert [done.result() for done in [pool.submit(begin_again, folders) for _ in range(4)]] == [expected] * 4
    for folder in folders:
        assert {path.name for path in (folder / "checkpoints").iterdir()} == {"checkpoint-900", "checkpoint-1000"}


def test_looking_for_a_checkpoint_takes_nothing_away(tmp_path: Path) -> None:
    half = tmp_path / "checkpoints" / "checkpoint-7"
    half.mkdir(parents=True)
    assert RunFolder(tmp_path).last_checkpoint() is None
    assert half.exists()


def stated(folder: Path) -> dict[str, Any]:
    """Settings of a run on a file of records and a file of ids to leave out."""
    for name in ("data", "exclude"):
        (folder / name).write_text(name)
    return {name: str(folder / name) for name in ("data", "exclude")} | {"learning_rate": 0.1}


@pytest.mark.parametrize("name", ["data", "exclude"])
def test_a_run_does_not_go_on_with_other_data(name: str, tmp_path: Path) -> None:
    settings, folder = stated(tmp_path), RunFolder(tmp_path / "run")
    folder.open(settings, before := content_sha256(settings))
    folder.check(settings, 1, content_sha256(settings))
    (tmp_path / name).write_text("other")
    now = content_sha256(settings)
    with pytest.raises(BadRunFolder, match="go on with the same, or name another run folder") as refused:
        folder.check(settings, 1, now)
    assert f"was begun with another content of {name}: sha256 {before[name]}, not {now[name]}" in str(refused.value)
    with pytest.raises(BadRunFolder):
        folder.check_settings(settings, now)


def test_a_run_does_not_go_on_without_the_exclusions_it_was_begun_with(tmp_path: Path) -> None:
    settings, folder = stated(tmp_path), RunFolder(tmp_path / "run")
    folder.open(settings, content_sha256(settings))
    fewer = settings | {"exclude": None}
    with pytest.raises(BadRunFolder, match=r"another content of exclude: sha256 [0-9a-f]{64}, not of none"):
        folder.check(fewer, None, content_sha256(fewer))


def test_a_model_is_bound_by_its_weights_and_tokenizer_wherever_it_stands(tmp_path: Path) -> None:
    settings, folder = stated(tmp_path), RunFolder(tmp_path / "run")
    for name in ("base", "other"):
        (tmp_path / name).mkdir()
        for file in ("model.safetensors", "config.json", "tokenizer.json", "reranker.json"):
            (tmp_path / name / file).write_text(file)
    settings["base"] = str(tmp_path / "base")
    folder.open(settings, content_sha256(settings))
    (tmp_path / "other" / "reranker.json").write_text("with a temperature")
    elsewhere = settings | {"base": str(tmp_path / "other"), "folder": "elsewhere"}
    folder.check(elsewhere, 1, content_sha256(elsewhere))
    (tmp_path / "base" / "model.safetensors").write_text("other weights")
    with pytest.raises(BadRunFolder, match="was begun with another content of base"):
        folder.check(settings, 1, content_sha256(settings))


def test_a_run_that_was_begun_before_the_data_was_bound_goes_on(tmp_path: Path) -> None:
    settings, folder = stated(tmp_path), RunFolder(tmp_path / "run")
    folder.open(settings)
    folder.open(settings, content_sha256(settings))
    folder.check(settings, 1, content_sha256(settings))
    with pytest.raises(BadRunFolder, match=r"was begun with learning_rate = 0.1, not 0.2"):
        folder.check(settings | {"learning_rate": 0.2}, 1, content_sha256(settings))


def test_who_does_not_say_what_the_data_is_is_not_refused(tmp_path: Path) -> None:
    settings, folder = stated(tmp_path), RunFolder(tmp_path / "run")
    folder.open(settings, content_sha256(settings))
    folder.check_settings(settings)
    folder.check(settings, None)


def test_only_files_that_are_named_are_bound(tmp_path: Path) -> None:
    settings = stated(tmp_path)
    assert content_sha256(settings | {"exclude": None}).keys() == {"data"}
    with pytest.raises(BadData, match=r"nowhere cannot be read: No such file or directory\.$"):
        content_sha256(settings | {"data": str(tmp_path / "nowhere")})
