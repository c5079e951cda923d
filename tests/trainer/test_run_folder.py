"""The run folder under several processes, as a distributed run has them."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from trainer.run_folder import RunFolder

SETTINGS = {"learning_rate": 0.1, "folder": "run", "data": "x" * 100_000}


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
