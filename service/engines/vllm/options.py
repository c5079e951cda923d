"""What the vLLM engine is started with: the knobs of our own, and vLLM's other arguments passed through."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.models.checkpoint import ModelStoreError

# Arguments of vLLM that this program sets, and what sets them.
_OURS = {
    "model": "--model",
    "tokenizer": "--model",
    "revision": "--model-revision",
    "served_model_name": "--served-name",
    "dtype": "--dtype",
    "tensor_parallel_size": "--tensor-parallel-size",
    "data_parallel_size": "--data-parallel-size",
    "quantization": "--quantization",
    "gpu_memory_utilization": "--gpu-memory-utilization",
    "max_model_len": "--max-model-len",
    "max_num_batched_tokens": "--max-num-batched-tokens",
    "max_num_seqs": "--max-num-seqs",
    **dict.fromkeys(
        (
            *("runner", "convert", "skip_tokenizer_init", "scheduling_policy", "stream_interval", "logprobs_mode"),
            *("disable_log_stats", "enable_prefix_caching", "max_num_queued_reqs", "max_num_queued_tokens"),
            *("speculative_config", "pooler_config", "enable_log_requests"),
        ),
        "",
    ),
}


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """`max_model_len` None: the model's own. `stuck_after` in seconds. `extra`: further arguments of vLLM by name."""

    dtype: str = "auto"
    tensor_parallel_size: int = 1
    data_parallel_size: int = 1
    quantization: str | None = None
    gpu_memory_utilization: float = 0.9
    max_model_len: int | None = None
    max_num_batched_tokens: int = 8192
    max_num_seqs: int = 256
    stuck_after: float = 60.0
    extra: Mapping[str, Any] = field(default_factory=dict)


def checked_extra(extra: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """The further arguments. Raise ModelStoreError for one that vLLM does not know or that is not to be set so."""
    names = [name for name in known if not name.startswith("_")]
    for name in extra:
        if name in _OURS:
            instead = f"; say it with {_OURS[name]}" if _OURS[name] else ", whose value this program relies on"
            raise ModelStoreError(f"--vllm-args must not hold {name!r}{instead}.")
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else "."
            raise ModelStoreError(f"--vllm-args holds {name!r}, which this version of vLLM does not know{meant}")
    return dict(extra)
