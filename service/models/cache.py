"""A folder that is built once and then shared: whole or not there, however many processes start and die.

It is built beside its place, flushed to the disk and renamed, all under a file lock that the system releases when its
holder dies. `contents.json`, written last, lists what belongs to it, so that a file cut short later is found.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from contract.files import sync
from service.models.checkpoint import ModelStoreError
from service.models.held_folder import HeldFolder, remove_unheld

CONTENTS = "contents.json"
_SECONDS_UNUSED = 14 * 24 * 3600.0
_HASHED_BYTES = 16 * 2**20  # larger files (the weights) are known by their size alone: hashing them would cost a second


def default_cache_dir() -> Path:
    """$XDG_CACHE_HOME/limrank, or ~/.cache/limrank (XDG Base Directory Specification)."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if Path(configured).is_absolute() else Path("~/.cache").expanduser()
    return base / "limrank"


def build_once(folder: Path, build: Callable[[Path], None]) -> HeldFolder:
    """Return `folder` as `build` filled it, by this process or another, now or earlier; held, so that it stays.

    `build` gets an empty folder. What it left when its process was killed is removed, and a folder that is not whole is
    built again. A whole folder is returned without a lock, so it may lie on a read-only disk. Raise ModelStoreError
    when the folder cannot be written; what `build` raises passes.
    """
    if held := _held_if_whole(folder):
        return held
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_lock(folder)):
            _remove_leftovers(folder)
            if not is_whole(folder):
                _build(folder, build)
            return HeldFolder(folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelStoreError(
            f"The model folder {folder} cannot be written: {reason}. Make room there (600 MB), "
            "or choose another place with LIMRANK_CACHE_DIR."
        ) from error


def remove_old(cache: Path, names: re.Pattern[str]) -> list[Path]:
    """Remove what `build_once` made in `cache`, under one of these names, and nobody holds or has asked for in two
    weeks; also what processes left that were killed. Returns the folders removed. Raise OSError."""
    removed: list[Path] = []
    if not os.access(cache, os.W_OK):
        return removed
    for lock in sorted(cache.glob("*.lock")):
        folder = lock.with_suffix("")
        if names.fullmatch(folder.name) and (_leftovers(folder) or _is_old(folder)):
            with contextlib.suppress(Timeout), FileLock(lock, timeout=0):  # Timeout: it is being made just now
                _remove_leftovers(folder)
                if _is_old(folder) and remove_unheld(folder, _beside(folder, "discarded")):
                    removed.append(folder)
    return removed


def is_whole(folder: Path) -> bool:
    """True when every file that was written is there, as long as it was and, where small, with the same bytes."""
    try:
        stated = json.loads((folder / CONTENTS).read_bytes())
        return bool(stated) and all(_facts(folder / name) == facts for name, facts in stated.items())
    except (OSError, ValueError, AttributeError):  # not there, not JSON, not an object
        return False


def _held_if_whole(folder: Path) -> HeldFolder | None:
    try:
        held = HeldFolder(folder)
    except OSError:
        return None
    if is_whole(folder) and held.in_place:
        return held
    held.release()
    return None


def _lock(folder: Path) -> Path:
    return _beside(folder, "lock")


def _beside(folder: Path, word: str) -> Path:
    return folder.with_name(f"{folder.name}.{word}")


def _is_old(folder: Path) -> bool:
    """True for a folder of ours that nobody has taken hold of for two weeks."""
    return (folder / CONTENTS).is_file() and time.time() - folder.stat().st_mtime > _SECONDS_UNUSED


def _leftovers(folder: Path) -> list[Path]:
    """What a process leaves that was killed while it made or removed the folder."""
    return [path for word in ("partial", "discarded") if (path := _beside(folder, word)).exists()]


def _remove_leftovers(folder: Path) -> None:
    for path in _leftovers(folder):
        shutil.rmtree(path, ignore_errors=True)


def _build(folder: Path, build: Callable[[Path], None]) -> None:
    partial, discarded = _beside(folder, "partial"), _beside(folder, "discarded")
    try:
        partial.mkdir()
        build(partial)
        _write_contents(partial)
        _flush(partial)
        if folder.exists():
            folder.rename(discarded)
        partial.rename(folder)
        sync(folder.parent)
    finally:
        _remove_leftovers(folder)


def _write_contents(folder: Path) -> None:
    contents = {path.name: _facts(path) for path in sorted(folder.iterdir())}
    (folder / CONTENTS).write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")


def _facts(path: Path) -> dict[str, Any]:
    """The file's size in bytes and, where it is small, its SHA-256."""
    size = path.stat().st_size
    return {"size": size, "sha256": None if size > _HASHED_BYTES else hashlib.sha256(path.read_bytes()).hexdigest()}


def _flush(folder: Path) -> None:
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors makes files that only their owner reads
        sync(path)
    sync(folder)
