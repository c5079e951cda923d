"""Converts the tiny model in child processes that are killed, starved of disk, or started all at once.

    python -m tests.service.models.convert_in_child GGUF FOLDER killed    one cache per file-system event, killed there
    python -m tests.service.models.convert_in_child GGUF FOLDER together    eight processes, one cache
    python -m tests.service.models.convert_in_child GGUF FOLDER no-room     one process that may not write large files

Each prints what it did. The children are forked, so that each costs milliseconds.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from service.errors import ModelStoreError
from service.models.embedded import prepare

_EVENTS = {"open", "os.mkdir", "os.rename", "os.chmod", "os.remove", "os.rmdir", "shutil.rmtree"}


def killed(gguf: Path, folder: Path) -> Iterator[str]:
    """A first process is killed at its n-th event in the cache, n = 0, 1, ... (0: in the middle of the weights)."""
    for point in range(1000):
        cache = folder / f"cache-{point}"
        first = _child(partial(_convert_and_die, gguf, cache, point))
        if first == 0:
            return
        left = ",".join(sorted(path.suffix or "whole" for path in cache.glob("*")))
        second = _child(partial(_convert, gguf, cache))
        yield f"{cache} {first} {second} {left}"


def together(gguf: Path, folder: Path) -> Iterator[str]:
    start, go = os.pipe()
    children = [_fork(partial(_convert_after, start, gguf, folder / "cache")) for _ in range(8)]
    os.write(go, b"!" * len(children))
    yield " ".join(str(_status(child)) for child in children)


def no_room(gguf: Path, folder: Path) -> Iterator[str]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # python ignores SIGXFSZ: a write fails instead
    try:
        prepare(gguf, folder / "cache")
    except ModelStoreError as error:
        yield str(error)


def _convert_and_die(gguf: Path, cache: Path, point: int) -> None:
    if point == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the kernel kills who writes beyond the limit
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    seen = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in _EVENTS and str(arguments[0]).startswith(str(cache)):
            seen += 1
            if seen == point:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    _convert(gguf, cache)


def _convert_after(start: int, gguf: Path, cache: Path) -> None:
    os.read(start, 1)
    _convert(gguf, cache)


def _convert(gguf: Path, cache: Path) -> None:
    os.write(1, f"folder {prepare(gguf, cache).path.name}\n".encode())  # in one piece, as several processes write


def _child(work: Callable[[], None]) -> int:
    return _status(_fork(work))


def _fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0 if sys.exc_info()[0] is None else 1)
    return child


def _status(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    acts = {"killed": killed, "together": together, "no-room": no_room}
    for line in acts[sys.argv[3]](Path(sys.argv[1]), Path(sys.argv[2])):
        print(line, flush=True)
