"""Processes of ours that start without importing torch and transformers once more, which takes six seconds of a core.

A server of this module imports the libraries once and forks; what is forked runs a module as `python -m` does, with its
own environment, arguments and streams, and is a child of the process that asked. Nothing of ours is imported before the
fork. Where a variable that a library reads on import differs, an ordinary process is started.

Each class of process has a server with its libraries. `tests.service.engines.vllm.warm_vllm` has vLLM's. A server that
only adds to the libraries of `WarmProcess` is itself forked from that of `WarmProcess`, and imports only what it adds.
"""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import gc
import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from tests.forked_spawn import fork_what_is_spawned
from tests.waiting import PATIENCE

_ROOT = Path(__file__).parent.parent
_LIBRARIES = (
    "torch",
    "transformers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.bert.modeling_bert",
    "transformers.models.llama.modeling_llama",
    "tokenizers",
    "safetensors.torch",
    "fastapi",
    "uvicorn",
    "pydantic_settings",
)
# Read by our programs, by libraries when they are used, or set here for all.
_OURS = (
    *("LIMRANK_", "TMP", "HYPOTHESIS_", "PYTEST_", "OTEL_", "LINES", "COLUMNS", "PATH", "PYTHONUNBUFFERED"),
    *("CUDA_VISIBLE_DEVICES", "PYTHONFAULTHANDLER", "OMP_WAIT_POLICY", "TOKENIZERS_PARALLELISM"),
    "CRC32C_SW_MODE",  # set by tensorboardX on import, to what it takes where it is not set
)
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of <sys/prctl.h>
_MOST = 1 << 20


class WarmProcess(subprocess.Popen[Any]):
    """`subprocess.Popen` of `[sys.executable, "-m", module, ...]`, forked from this process's server of the class.

    `libraries`: what that server imports. `forks_spawned`: whether processes that `multiprocessing` spawns from it are
    forked too. `surroundings`: variables that it must have on import.
    """

    libraries: ClassVar[tuple[str, ...]] = _LIBRARIES
    forks_spawned: ClassVar[bool] = False
    surroundings: ClassVar[Mapping[str, str]] = {}

    def _execute_child(self, args: Any, *rest: Any) -> None:
        """The hook of subprocess's own constructor. Of `rest`, 4 and 5 are folder and environment, 9 to 14 the ends of
        the three streams, of which 9, 12 and 14 are the child's, and 20 is whether it begins a session."""
        command, environment = [os.fspath(each) for each in args], rest[5] or os.environ
        warm = _Server.of(type(self))
        if command[:2] != [sys.executable, "-m"] or not warm.fits(environment):
            super()._execute_child(args, *rest)  # type: ignore[misc]
            return
        asked = {
            "command": command,
            "cwd": os.fspath(rest[4] or Path.cwd()),
            "environment": dict(environment),
            "session": rest[20],
        }
        streams = [given if given != -1 else number for number, given in enumerate((rest[9], rest[12], rest[14]))]
        self.pid = warm.fork(asked, streams)
        self._child_created = True
        self._close_pipe_fds(*rest[9:15])  # type: ignore[attr-defined]


def run_warm(
    module: str, *arguments: str, env: Mapping[str, str] | None = None, kind: type[WarmProcess] = WarmProcess
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` of `python -m module`, its output captured."""
    command = [sys.executable, "-m", module, *arguments]
    pipe = subprocess.PIPE
    with kind(command, cwd=_ROOT, env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe) as process:
        out, err = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(command, process.returncode, out.decode(), err.decode())


def fork_from_here(kind: type[WarmProcess]) -> None:
    """From here on, processes of `kind` are forked from a copy of this process as it is now, in any environment. Call
    it while there is one thread."""
    _Server.put(kind, _copy_of_this(kind))


def _copy_of_this(kind: type[WarmProcess]) -> _Server:
    ours, theirs = socket.socketpair()
    with theirs:
        if os.fork():
            return _Server(ours, None)
        try:
            ours.close()
            _serve(theirs, forks_spawned=kind.forks_spawned)
        finally:
            os._exit(0)


def _started(kind: type[WarmProcess]) -> _Server:
    ours, theirs = socket.socketpair()
    environment = _outside_ours(os.environ | kind.surroundings)
    told = json.dumps({"libraries": kind.libraries, "forks_spawned": kind.forks_spawned})
    adds = set(WarmProcess.libraries) < set(kind.libraries) and not kind.surroundings
    with theirs:
        process = (WarmProcess if adds else subprocess.Popen)(
            [sys.executable, "-m", "tests.warm", told],
            cwd=_ROOT,
            env=environment | {"OMP_WAIT_POLICY": "PASSIVE"},  # threads that spin take a shared core
            stdin=theirs.fileno(),
        )
    assert ours.recv(1) == b".", "the server of warm processes did not start"
    return _Server(ours, environment, process)


class _Server:
    """`environment`: what its processes must have, but for ours; None where they may have any."""

    _all: ClassVar[dict[type[WarmProcess], _Server]] = {}
    _making = threading.RLock()  # a server may be forked from another

    def __init__(self, asking: socket.socket, environment: Mapping[str, str] | None, process: Any = None) -> None:
        self._ours = asking
        self._environment = environment
        self._process = process
        self._lock = threading.Lock()

    @classmethod
    def put(cls, kind: type[WarmProcess], server: _Server) -> None:
        cls._all[kind] = server

    @classmethod
    def of(cls, kind: type[WarmProcess]) -> _Server:
        with cls._making:
            if kind not in cls._all:
                cls._all[kind] = _started(kind)
            return cls._all[kind]

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Whether the libraries would read the same from it as they did here."""
        return self._environment in (None, _outside_ours(environment))

    def fork(self, asked: Mapping[str, Any], streams: Sequence[int]) -> int:
        """The id of the new process, which this process must wait for as for any child of its own."""
        with self._lock, _adopting():
            message = json.dumps(asked).encode()
            socket.send_fds(self._ours, [len(message).to_bytes(4, "big")], list(streams))
            self._ours.sendall(message)
            return int.from_bytes(self._ours.recv(4), "big")


@contextmanager
def _adopting() -> Iterator[None]:
    """Whoever loses its parent meanwhile becomes a child of this process."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert prctl(_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        prctl(_SUBREAPER, 0, 0, 0, 0)


def _outside_ours(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(_OURS)}


def main() -> None:
    """Import the libraries, then fork for each message until the other end is closed. Standard input is the socket."""
    told = json.loads(sys.argv[1])
    gc.disable()
    for name in told["libraries"]:
        __import__(name)
    if titles := sys.modules.get("setproctitle"):
        titles.getproctitle()  # looks where the title stands, which it finds by the environment that is still there
    asking = socket.socket(fileno=os.dup(0))
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    asking.sendall(b".")
    _serve(asking, forks_spawned=told["forks_spawned"])


def _serve(asking: socket.socket, *, forks_spawned: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()  # else each process walks through the libraries again and again, and so copies the memory they share
    gc.enable()
    while True:
        length, streams, _, _ = socket.recv_fds(asking, 4, 3)
        if not length:
            return
        message = b""
        while len(message) < int.from_bytes(length, "big"):
            message += asking.recv(_MOST)
        _fork(asking, json.loads(message), streams, forks_spawned=forks_spawned)
        for stream in streams:
            os.close(stream)


def _fork(asking: socket.socket, asked: dict[str, Any], streams: Sequence[int], *, forks_spawned: bool) -> None:
    """Twice: the process between ends at once, so that the new one is adopted, and only then is its id told."""
    read, write = os.pipe()
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        asking.sendall(os.read(read, 4))
        os.close(read)
        os.close(write)
        return
    pid = os.fork()
    if pid:
        os.write(write, pid.to_bytes(4, "big"))
        os._exit(0)
    for each in (read, write, asking.detach()):
        os.close(each)
    _run(asked, streams, forks_spawned=forks_spawned)


def _run(asked: dict[str, Any], streams: Sequence[int], *, forks_spawned: bool) -> None:
    code = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        for stream in streams:
            os.close(stream)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if asked["session"]:
            os.setsid()
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.argv = asked["command"][2:]
        sys.path[0] = asked["cwd"]
        _open_streams()
        if forks_spawned:
            fork_what_is_spawned()
        if os.environ.get("PYTHONFAULTHANDLER"):
            faulthandler.enable()
        runpy.run_module(asked["command"][2], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = _exit_code(ended)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    finally:
        _end(code)


def _open_streams() -> None:
    sys.stdin = io.TextIOWrapper(io.FileIO(0, "r", closefd=False), encoding="utf-8")
    for number, name in ((1, "stdout"), (2, "stderr")):
        raw = io.BufferedWriter(io.FileIO(number, "w", closefd=False))
        errors = "backslashreplace" if number == 2 else "strict"
        stream = io.TextIOWrapper(raw, encoding="utf-8", errors=errors, line_buffering=number == 2)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _exit_code(ended: SystemExit) -> int:
    if ended.code is None:
        return 0
    if isinstance(ended.code, int):
        return ended.code
    print(ended.code, file=sys.stderr)
    return 1


def _end(code: int) -> None:
    """As the interpreter ends: threads are waited for, what was registered runs, streams are written out."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or 120
    os._exit(code)


if __name__ == "__main__":
    main()
