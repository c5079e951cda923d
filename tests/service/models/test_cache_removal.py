"""Old folders of the cache go, those in use stay: by this process, by another one, or by one that starts meanwhile."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.models.cache import HeldFolder, build_once, remove_old, remove_unheld
from service.models.embedded import prepare

KEYS = re.compile(r"[0-9a-f]{16}")
OLD, CURRENT = "0123456789abcdef", "fedcba9876543210"
DAY = 24 * 3600


def fill(folder: Path) -> None:
    (folder / "model.safetensors").write_text("weights")


def made(cache: Path, name: str = OLD, days: float = 15) -> Path:
    """A folder that was made and last used so many days ago."""
    held = build_once(cache / name, fill)
    held.release()
    then = time.time() - days * DAY
    os.utime(held.path, (then, then))
    return held.path


def names(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir() if path.suffix != ".lock"}


def test_what_nobody_used_for_two_weeks_goes(tmp_path: Path) -> None:
    old, recent = made(tmp_path), made(tmp_path, CURRENT, days=13)
    assert remove_old(tmp_path, KEYS) == [old]
    assert names(tmp_path) == {recent.name}
    assert remove_old(tmp_path, KEYS) == []


def test_use_makes_a_folder_recent(tmp_path: Path) -> None:
    folder = made(tmp_path)
    build_once(folder, fill).release()
    assert remove_old(tmp_path, KEYS) == []
    assert names(tmp_path) == {OLD}


def test_what_is_held_stays_however_old(tmp_path: Path) -> None:
    folder = made(tmp_path)
    held = HeldFolder(folder)
    os.utime(folder, (0, 0))
    assert remove_old(tmp_path, KEYS) == []
    held.release()
    assert remove_old(tmp_path, KEYS) == [folder]


def test_what_another_process_holds_stays_until_it_is_killed(tmp_path: Path) -> None:
    folder = made(tmp_path)
    code = (
        "import sys, time; from pathlib import Path; from service.models.cache import HeldFolder; "
        "held = HeldFolder(Path(sys.argv[1])); print('held', flush=True); time.sleep(3600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        os.utime(folder, (0, 0))
        assert remove_old(tmp_path, KEYS) == []
        holder.send_signal(signal.SIGKILL)
    assert remove_old(tmp_path, KEYS) == [folder]


def test_a_folder_that_went_just_before_it_was_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking for the folder and holding it, another process removes it."""
    folder = made(tmp_path)
    really_open = os.open

    def open_late(path: Path, flags: int) -> int:
        handle = really_open(path, flags)
        monkeypatch.undo()
        assert remove_unheld(folder, folder.with_name("discarded"))
        return handle

    monkeypatch.setattr(os, "open", open_late)
    held = build_once(folder, fill)
    assert held.in_place
    assert (held.path / "model.safetensors").read_text() == "weights"
    assert not remove_unheld(folder, folder.with_name("discarded"))


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    folder = made(tmp_path)
    other, plain = tmp_path / "notes", tmp_path / "00000000000000aa"
    for path in (other, plain):
        path.mkdir()
        (tmp_path / f"{path.name}.lock").touch()
        os.utime(path, (0, 0))
    assert remove_old(tmp_path, KEYS) == [folder]
    assert names(tmp_path) == {other.name, plain.name}


def test_what_killed_processes_left_goes(tmp_path: Path) -> None:
    made(tmp_path, days=0)
    for word in ("partial", "discarded"):
        (tmp_path / f"{OLD}.{word}").mkdir()
    assert remove_old(tmp_path, KEYS) == []
    assert names(tmp_path) == {OLD}


def test_preparing_a_model_removes_that_of_an_earlier_version(tiny_gguf: Path, tmp_path: Path) -> None:
    made(tmp_path)
    held = prepare(tiny_gguf, tmp_path)
    assert names(tmp_path) == {held.path.name}
    os.utime(held.path, (0, 0))
    assert prepare(tiny_gguf, tmp_path).path == held.path
    assert names(tmp_path) == {held.path.name}
