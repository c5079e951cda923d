"""The real service on the real vLLM as a process, and how the tests talk to it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.processes import ROOT, ServerProcess, server_of
from tests.requirements_check import require
from tests.service.engines.vllm.warm_vllm import ENVIRONMENT, WarmVllm

BLOCK = 32
SEATS = 24
STEP_TOKENS = 256
STUCK_SECONDS = 10
ADAPTER = ROOT / "service" / "weights" / "limrank-mini"
ENGINE_ARGS: dict[str, Any] = {"enforce_eager": True, "block_size": BLOCK}
SCRIPTED = {"logits_processors": ["tests.service.engines.vllm.scripted_traces:ScriptedTraces"]}


def require_vllm() -> None:
    remedy = "install it with make vllm, where there is a build for this machine"
    require("vllm", present=find_spec("vllm") is not None, remedy=remedy)


@contextmanager
def vllm_server(
    folder: Path, *arguments: str, tapped: bool = False, scripted: bool = False, dummy: bool = False, **environment: str
) -> Iterator[ServerProcess]:
    """`limrank-serve --engine vllm` in float32, offline, with the model that `arguments` name.

    It may be `tapped` (`engine_process`), write the scripts of `scripted_traces`, and fill its model with random
    numbers (`dummy`).
    """
    args = ENGINE_ARGS | (SCRIPTED if scripted else {}) | ({"load_format": "dummy"} if dummy else {})
    module = "tests.service.engines.vllm.engine_process" if tapped else "service.main"
    if tapped:
        environment["LIMRANK_TEST_TAP"] = str(folder / "tap")
    if cache := os.environ.get("LIMRANK_TEST_CACHE"):
        environment["LIMRANK_CACHE_DIR"] = cache
    flags = (
        *("--engine", "vllm", "--dtype", "float32", "--max-model-len", "2048", "--drain-delay", "0"),
        *("--max-num-batched-tokens", str(STEP_TOKENS), "--max-num-seqs", str(SEATS)),
        *("--vllm-args", json.dumps(args)),
        *arguments,
    )
    surroundings = ENVIRONMENT | environment
    with server_of(WarmVllm, module, free_port(), folder, *flags, **surroundings) as running:
        children = descendants(running.process.pid)
        try:
            yield running
        finally:
            send(signal.SIGKILL, filter(_is_vllm, children))  # what is left of an engine whose server was killed


class Shared:
    """A server that tests share until one of them ends it; who comes then gets another."""

    def __init__(self, start: Callable[[], AbstractContextManager[ServerProcess]]) -> None:
        self._start = start
        self._exits = ExitStack()
        self._running: ServerProcess | None = None

    def get(self) -> ServerProcess:
        if self._running is None or self._running.process.poll() is not None:
            self.close()
            self._running = self._exits.enter_context(self._start())
        return self._running

    def close(self) -> None:
        self._exits.close()


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to those processes that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """Ids of a process's children, and of theirs."""
    children = [int(each) for file in Path(f"/proc/{pid}/task").glob("*/children") for each in file.read_text().split()]
    return [each for child in children for each in (child, *descendants(child))]


def engine_core(running: ServerProcess) -> int:
    """The id of the process that schedules vLLM's steps."""
    (core,) = (each for each in descendants(running.process.pid) if "EngineCor" in _name(each))
    return core


def _is_vllm(pid: int) -> bool:
    return "VLLM" in _name(pid)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text() + Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def series(running: ServerProcess, *names: str) -> dict[str, float]:
    """Values on the metrics page: of each name the sum over its labels."""
    lines = [line for line in running.get("/metrics").text.splitlines() if not line.startswith("#")]
    return {
        name: sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))
        for name in names
    }


def grown(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in after}
