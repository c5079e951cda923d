"""Folders of a cache that are built once and shared by processes, and removed when nobody has used them for long.

A folder is either complete or absent, however many processes start and die: it is built beside its place, flushed to
the disk and renamed, all under a file lock that the system releases when its holder dies. `contents.json`, written
last, lists its files, so that one cut short later is detected. A process that uses a folder holds a shared lock on it,
which the system releases likewise; removing the folder needs the exclusive one.
"""

from __future__ import annotations

import contextlib
import fcntl
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

from contract.files import at_home, sync
from service.errors import ModelStoreError

CONTENTS = "contents.json"
_SECONDS_UNUSED = 14 * 24 * 3600.0
_HASHED_BYTES = 16 * 2**20  # larger files (the weights) are known by their size alone: hashing them would cost a second


class HeldFolder:
    """A folder at `path` that is not removed as long as this object lives."""

    def __init__(self, path: Path) -> None:
        """Locks the folder and marks it as used now. Raises OSError if there is no such folder."""
        self.path = path
        self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        with contextlib.suppress(OSError):  # a file system without locks, or one that is read-only
            fcntl.flock(self._handle, fcntl.LOCK_SH)
            os.utime(self._handle)

    @property
    def in_place(self) -> bool:
        """False if the folder was moved away to be removed before it was locked."""
        try:
            return os.path.samestat(os.fstat(self._handle), self.path.stat())
        except OSError:
            return False

    def release(self) -> None:
        """Unlocks the folder, as the end of this object does."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self.release()


def default_cache_dir() -> Path:
    """Returns $XDG_CACHE_HOME/limrank, or ~/.cache/limrank (XDG Base Directory Specification)."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if Path(configured).is_absolute() else at_home("~/.cache")
    return base / "limrank"


def build_once(folder: Path, build: Callable[[Path], None]) -> HeldFolder:
    """Returns `folder`, held and filled by `build`, which this process or another runs once, now or earlier.

    `build` gets an empty folder. The remains of a killed process are removed, and an incomplete folder is built again.
    A complete folder is returned without the file lock, so it may be on a read-only disk. Raises ModelStoreError if the
    folder cannot be written, and whatever `build` raises.
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
    """Removes the folders in `cache` with one of these names that nobody holds or has asked for in two weeks, and the
    remains of killed processes. Returns the folders removed. Raises OSError."""
    removed: list[Path] = []
    if not os.access(cache, os.W_OK):
        return removed
    for lock in sorted(cache.glob("*.lock")):
        folder = lock.with_suffix("")
        if names.fullmatch(folder.name) and (_leftovers(folder) or _is_old(folder)):
            with contextlib.suppress(Timeout), FileLock(lock, timeout=0):  # Timeout: it is being built just now
                _remove_leftovers(folder)
                if _is_old(folder) and remove_unheld(folder, _beside(folder, "discarded")):
                    removed.append(folder)
    return removed


def remove_unheld(path: Path, discarded: Path) -> bool:
    """Removes a folder, by way of the name `discarded`, unless somebody holds it. Returns whether it was removed.

    The caller holds the file lock, which keeps others from building the folder meanwhile. Raises OSError.
    """
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.rename(discarded)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    shutil.rmtree(discarded)
    return True


def is_whole(folder: Path) -> bool:
    """True if every file that was written is there with its size and, if it is small, the same bytes."""
    try:
        contents = json.loads((folder / CONTENTS).read_bytes())
        return bool(contents) and all(_facts(folder / name) == facts for name, facts in contents.items())
    except (OSError, ValueError, AttributeError):  # missing, not JSON, not an object
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
    """True for a folder built by `build_once` that nobody has held for two weeks."""
    return (folder / CONTENTS).is_file() and time.time() - folder.stat().st_mtime > _SECONDS_UNUSED


def _leftovers(folder: Path) -> list[Path]:
    """Returns the remains of a process that was killed while it built or removed the folder."""
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
    """Returns the file's size in bytes and, if it is small, its SHA-256."""
    size = path.stat().st_size
    return {"size": size, "sha256": None if size > _HASHED_BYTES else hashlib.sha256(path.read_bytes()).hexdigest()}


def _flush(folder: Path) -> None:
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors creates files that only their owner can read
        sync(path)
    sync(folder)
