"""A folder that is built once and then shared: whole or not there, however many processes start and die.

It is built beside its place, flushed to the disk and renamed, all under a file lock that the system releases when its
holder dies. `contents.json`, written last, lists what belongs to it, so that a file cut short later is found.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from service.checkpoint import ModelStoreError

CONTENTS = "contents.json"
_HASHED_BYTES = 16 * 2**20  # larger files (the weights) are known by their size alone: hashing them would cost a second


def default_cache_dir() -> Path:
    """$XDG_CACHE_HOME/limrank, or ~/.cache/limrank (XDG Base Directory Specification)."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if Path(configured).is_absolute() else Path("~/.cache").expanduser()
    return base / "limrank"


def build_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """Return `folder` as `build` filled it, by this process or another, now or earlier.

    `build` gets an empty folder. What it left when its process was killed is removed, and a folder that is not whole is
    built again. A whole folder is returned without a lock, so it may lie on a read-only disk. Raise ModelStoreError
    when the folder cannot be written; what `build` raises passes.
    """
    if is_whole(folder):
        return folder
    partial, discarded = (folder.with_name(f"{folder.name}.{word}") for word in ("partial", "discarded"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            for leftover in (partial, discarded):
                shutil.rmtree(leftover, ignore_errors=True)
            if not is_whole(folder):
                _build(folder, partial, discarded, build)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ModelStoreError(
            f"The model folder {folder} cannot be written: {reason}. Make room there (600 MB), "
            "or choose another place with LIMRANK_CACHE_DIR."
        ) from error
    return folder


def is_whole(folder: Path) -> bool:
    """True when every file that was written is there, as long as it was and, where small, with the same bytes."""
    try:
        stated = json.loads((folder / CONTENTS).read_bytes())
        return bool(stated) and all(_facts(folder / name) == facts for name, facts in stated.items())
    except (OSError, ValueError, AttributeError):  # not there, not JSON, not an object
        return False


def _build(folder: Path, partial: Path, discarded: Path, build: Callable[[Path], None]) -> None:
    try:
        partial.mkdir()
        build(partial)
        _write_contents(partial)
        _flush(partial)
        if folder.exists():
            folder.rename(discarded)
        partial.rename(folder)
        _fsync(folder.parent)
    finally:
        for leftover in (partial, discarded):
            shutil.rmtree(leftover, ignore_errors=True)


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
        _fsync(path)
    _fsync(folder)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
