"""Serves a local checkpoint with the service, in a child process that ends with this one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx

from contract.checkpoint.manifest import FILE_NAME
from contract.checkpoint.packaged import WEIGHTS
from contract.files import standing
from evaluation.errors import ScorerFailed
from evaluation.scorers.http import HttpScorer, ServiceOptions

READY_SECONDS = 300.0
STOP_SECONDS = 20.0
TAIL = 1500  # characters of the service's log quoted in an error
_FITTED = ("adaptive", "first_stage")  # keys of a manifest outside its fingerprint
KEPT = ("LIMRANK_CACHE_DIR",)  # LIMRANK variables that belong to the machine, not to the measurement


@contextlib.contextmanager
def local_service(
    model: str,
    options: ServiceOptions,
    log: Path,
    *,
    engine: str = "auto",
    dtype: str = "auto",
    threads: int | None = None,
    flags: Sequence[str] = (),
) -> Iterator[HttpScorer]:
    """Serves `model` (a folder, the name of an embedded model or a hub id) on a free loopback port while the block
    runs.

    Logs to `log`. `flags`: further ones of the service. Raises `ScorerFailed`, with the end of that log, when the
    service cannot be started.
    """
    port = _free_port()
    arguments = ["--model", model, "--port", str(port), "--engine", engine, "--dtype", dtype]
    arguments += ["--request-timeout-seconds", str(options.timeout_seconds)]
    arguments += ["--drain-delay", "0", "--log-level", "warning"]
    if threads is not None:
        arguments += ["--threads", str(threads)]
    arguments += flags
    with log.open("ab") as out:
        process = subprocess.Popen(  # noqa: S603 - the program of this distribution, with our own arguments
            [*_program(), *arguments], stdout=out, stderr=out, env=_environment(os.environ)
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(process, url, log)
        scorer = HttpScorer(url, options, name=_name(model, options), weights=weights_hash(model))
        try:
            yield scorer
        finally:
            scorer.close()
    finally:
        _stop(process)


def weights_hash(model: str) -> str | None:
    """SHA-256 over the weights and the manifest that `model` names, if they are local files; otherwise None.

    Hashes a folder's own files, or those that are packaged under that name.
    """
    folder = standing(model)
    if folder is None or not folder.is_dir():
        folder = WEIGHTS / model
    files = sorted(file for pattern in ("*.safetensors", "*.json") for file in folder.glob(pattern))
    if not files:
        return None
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256")
        digest.update(_without_fitted(file) or content.digest())
    return digest.hexdigest()[:16]


def _without_fitted(file: Path) -> bytes | None:
    """The hash of a manifest as it was before parameters of adaptive mode or of a cascade were written into it, which
    change no score of other modes and of the model alone; None for a file that holds none."""
    if file.name != FILE_NAME:
        return None
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return None  # the service says what is wrong with it
    if not isinstance(manifest, dict):
        return None
    left = {name: value for name, value in manifest.items() if name not in _FITTED or value is None}
    if len(left) == len(manifest):
        return None
    return hashlib.sha256((json.dumps(left, indent=2, ensure_ascii=False) + "\n").encode()).digest()


def _name(model: str, options: ServiceOptions) -> str:
    return f"{Path(model).name} ({options.mode})"


def _program() -> list[str]:
    """The service's console script beside this interpreter or on PATH. With setpriv the child ends with its parent even
    when the parent is killed."""
    beside = Path(sys.executable).parent / "limrank-serve"
    program = str(beside) if beside.is_file() else shutil.which("limrank-serve")
    if program is None:
        raise ScorerFailed("The command limrank-serve is not installed here; install the distribution first.")
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--", program] if setpriv else [program]


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without LIMRANK settings, which would change the measurement."""
    return {name: value for name, value in environ.items() if not name.startswith("LIMRANK_") or name in KEPT}


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    with httpx.Client(timeout=5) as client:  # one for all: each costs tens of milliseconds, which the service lacks
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise ScorerFailed(f"limrank-serve exited with {process.returncode}: {_tail(log)}")
            try:
                if client.get(f"{url}/health/ready").status_code == 200:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.1)
    raise ScorerFailed(f"limrank-serve was not ready after {READY_SECONDS:.0f} s: {_tail(log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-TAIL:].strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
