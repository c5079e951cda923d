"""The engine settings with which every side of the vLLM benchmark is started."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Side:
    """One set of settings. `extra` are vLLM arguments for which the service has no flag."""

    model: str
    dtype: str = "float32"
    max_model_len: int = 2048
    max_num_batched_tokens: int = 2048
    max_num_seqs: int = 64
    extra: dict[str, Any] = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        """As arguments of `vllm.LLM`."""
        return {
            "model": self.model,
            "dtype": self.dtype,
            "max_model_len": self.max_model_len,
            "max_num_batched_tokens": self.max_num_batched_tokens,
            "max_num_seqs": self.max_num_seqs,
            "enable_prefix_caching": True,
            **self.extra,
        }

    def service_flags(self) -> list[str]:
        """As flags of `limrank-serve`."""
        flags = ["--engine", "vllm", "--model", self.model, "--vllm-args", json.dumps(self.extra), *self._shared()]
        return [*flags, "--drain-delay", "0", "--stuck-after", "600", "--request-timeout-seconds", "3600"]

    def vllm_flags(self) -> list[str]:
        """As flags of vLLM's own server."""
        extra = [f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in self._own()]
        return [*self._shared(), *extra]

    def _shared(self) -> list[str]:
        return [
            *("--dtype", self.dtype, "--max-model-len", str(self.max_model_len)),
            *("--max-num-batched-tokens", str(self.max_num_batched_tokens), "--max-num-seqs", str(self.max_num_seqs)),
        ]

    def _own(self) -> list[tuple[str, Any]]:
        return [(name, value) for name, value in self.extra.items() if name != "logits_processors"]


# On a CPU: no compilation, and the block size that its attention takes.
CPU_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": "0-1", "OMP_WAIT_POLICY": "PASSIVE"}
CPU_EXTRA: dict[str, Any] = {"enforce_eager": True, "block_size": 32}
SCRIPTED = {"logits_processors": ["tests.service.engines.vllm.scripted_traces:ScriptedTraces"]}
