"""Processes with vLLM that do not import it: each would four times, in server, engine core, worker and inspection."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from tests.warm import WarmProcess


def _openmp() -> str:
    """Torch's library of threads, which vLLM has its workers load first, or nothing."""
    torch = find_spec("torch")
    if torch is None or torch.origin is None:
        return ""
    package = Path(torch.origin).parent
    found = [*package.parent.glob("torch.libs/libgomp*.so*"), *package.glob("lib/libgomp*.so*")]
    return str(found[0]) if found else ""


ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "0-1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "OMP_NUM_THREADS": "2",  # as vLLM has it for the cores that it is bound to
    "LD_PRELOAD": _openmp(),
    "PYTHONDONTWRITEBYTECODE": "",  # write it, for the next time
    "LIMRANK_REQUEST_TIMEOUT_SECONDS": "3600",  # a test has a deadline only where it says so
}


class WarmVllm(WarmProcess):
    """`subprocess.Popen` of a module's process in ENVIRONMENT, vLLM imported, its engine's processes forked too."""

    libraries: ClassVar[tuple[str, ...]] = (
        *WarmProcess.libraries,
        "setproctitle",
        "vllm",
        "vllm.v1.engine.async_llm",
        "vllm.v1.engine.core",
        "vllm.v1.executor.multiproc_executor",
        "vllm.v1.worker.cpu_worker",
        "vllm.model_executor.models.llama",
    )
    forks_spawned: ClassVar[bool] = True
    surroundings: ClassVar[Mapping[str, str]] = ENVIRONMENT
