"""Folders of a cache that are in use, and the removal of those that are not.

Who uses a folder holds a shared lock on it, which the system releases when its holder ends, however it ends. Whoever
removes a folder needs the exclusive one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path


class HeldFolder:
    """A folder that stays as long as this object lives. `path` is where it is."""

    def __init__(self, path: Path) -> None:
        """Take hold of it and note that it was used now. Raise OSError when there is no such folder."""
        self.path = path
        self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        with contextlib.suppress(OSError):  # a file system without locks, or one that is read-only
            fcntl.flock(self._handle, fcntl.LOCK_SH)
            os.utime(self._handle)

    @property
    def in_place(self) -> bool:
        """False when what is held was moved away, before it was held, to be removed."""
        try:
            return os.path.samestat(os.fstat(self._handle), self.path.stat())
        except OSError:
            return False

    def release(self) -> None:
        """Let go of it; to be called once, or left to the end of this object."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self.release()


def remove_unheld(path: Path, discarded: Path) -> bool:
    """Remove a folder, by way of the name `discarded`, unless somebody holds it. Returns whether it was removed.

    The caller keeps others from making it meanwhile. Raise OSError.
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
