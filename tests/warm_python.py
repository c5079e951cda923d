"""An interpreter for shell scripts: a command that has `python -m` run as a `tests.warm.WarmProcess` by the test that
made it, with its own streams and folder.

Of the environment that the script sets, what `told` names is passed on; the rest is the test's own.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.warm import WarmProcess

_MOST = 1 << 16
_ASKING = """#!{python} -IS
import json, os, socket, sys
asking = socket.socket(socket.AF_UNIX)
asking.connect({address!r})
told = {{name: os.environ[name] for name in {told!r} if name in os.environ}}
asked = json.dumps({{"words": sys.argv[1:], "cwd": os.getcwd(), "told": told}})
socket.send_fds(asking, [asked.encode()], [0, 1, 2])
sys.exit(json.loads(asking.recv(64)))
"""


@contextmanager
def warm_python(folder: Path, told: Sequence[str] = (), kind: type[WarmProcess] = WarmProcess) -> Iterator[Path]:
    """The command, in `folder`, while the block runs."""
    address, command = str(folder / "asked"), folder / "python"
    command.write_text(_ASKING.format(python=sys.executable, address=address, told=tuple(told)), encoding="utf-8")
    command.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        thread = threading.Thread(target=_answer, args=(listening, kind))
        thread.start()
        try:
            yield command
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _answer(listening: socket.socket, kind: type[WarmProcess]) -> None:
    """One call after the other, until nothing is listened to any more."""
    while True:
        try:
            asking, _ = listening.accept()
        except OSError:
            return
        with asking:
            asking.sendall(json.dumps(_called(asking, kind)).encode())


def _called(asking: socket.socket, kind: type[WarmProcess]) -> int:
    message, streams, _, _ = socket.recv_fds(asking, _MOST, 3)
    asked = json.loads(message)
    try:
        environment = {**os.environ, **asked["told"]}
        with kind(
            [sys.executable, *asked["words"]],
            cwd=asked["cwd"],
            env=environment,
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
        ) as process:
            return process.wait()
    finally:
        for stream in streams:
            os.close(stream)
