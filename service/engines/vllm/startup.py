"""Everything around the start of vLLM: its options, its log in our format, no telemetry, and the reason of a failed
start.

The model runs in a process of vLLM's own, whose reason for failing reaches this process only through its log.
"""

from __future__ import annotations

import difflib
import json
import logging
import os
import signal
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.errors import EngineOptionError

# Arguments of vLLM that this program sets, and the flags that set them.
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
_CONFIG_PATH = "VLLM_LOGGING_CONFIG_PATH"
# Parts of reasons, in lower case, and the remedy for each.
_REMEDIES = {
    ("memory", "kv cache", "cache blocks"): "lower --max-model-len or --max-num-seqs, change --gpu-memory-utilization "
    "(on a CPU: VLLM_CPU_KVCACHE_SPACE, in GiB), or use a smaller model",
    ("custom code", "trust_remote_code"): "if you trust it, have it run with --vllm-args "
    "'{\"trust_remote_code\": true}'",
}


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """`max_model_len` None: the model's own. `stuck_after` is in seconds. `extra` are further vLLM arguments by
    name."""

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


@dataclass(frozen=True, slots=True)
class EngineLog:
    """Files that vLLM's processes write while they start. `steps`: see `service.engines.vllm.steps`."""

    errors: Path
    steps: Path


def checked_extra(extra: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """The further arguments. Raises EngineOptionError for one that vLLM does not know or that must be set by a flag."""
    names = [name for name in known if not name.startswith("_")]
    for name in extra:
        if name in _OURS:
            instead = f"; say it with {_OURS[name]}" if _OURS[name] else ", whose value this program relies on"
            raise EngineOptionError(f"--vllm-args must not hold {name!r}{instead}.")
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else "."
            raise EngineOptionError(f"--vllm-args holds {name!r}, which this version of vLLM does not know{meant}")
    return dict(extra)


def with_exact_answers(extra: Mapping[str, Any], *, quantised: bool) -> dict[str, Any]:
    """The further arguments, with the last layer in float32: a logit in bfloat16 has three digits, so that many
    documents would get the same score. vLLM cannot do this for a quantised last layer. A `head_dtype` in the user's
    `hf_overrides` is kept."""
    overrides = extra.get("hf_overrides") or {}
    if quantised or not isinstance(overrides, Mapping):
        return dict(extra)
    return {**extra, "hf_overrides": {"head_dtype": "float32", **overrides}}


def quiet_environment() -> None:
    """Switches off vLLM's usage reports, and its requests to the hub for models that are on disk."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_DO_NOT_TRACK", "1")


@contextmanager
def engine_log() -> Iterator[EngineLog]:
    """Inside this context, vLLM logs JSON lines from level warning on. Its errors also go to a file, and the steps of
    its start to another. A logging configuration set by the user is kept, and both files stay empty."""
    if os.environ.get(_CONFIG_PATH) or os.environ.get("VLLM_CONFIGURE_LOGGING") == "0":
        yield EngineLog(Path(os.devnull), Path(os.devnull))
        return
    with tempfile.TemporaryDirectory(prefix="limrank-vllm-") as folder:
        log = EngineLog(Path(folder) / "errors.jsonl", Path(folder) / "steps")
        config = Path(folder) / "logging.json"
        config.write_text(json.dumps(_logging_config(log)))
        os.environ[_CONFIG_PATH] = str(config)
        try:
            yield log
        finally:
            del os.environ[_CONFIG_PATH]
            _close_file_handlers()


@contextmanager
def no_keyboard_interrupts() -> Iterator[None]:
    """Processes started in this context ignore Ctrl-C, which a terminal sends to all of them: the server alone decides
    when they end, so that running calls finish first."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def why(error: BaseException, errors: Path) -> str:
    """The reason why vLLM did not start, as one sentence, with a remedy if one is known."""
    reason = _last_logged(errors) or _first_line(error)
    remedies = (each for signs, each in _REMEDIES.items() if any(sign in reason.lower() for sign in signs))
    remedy = next(remedies, "see its log above")
    return f"{reason.rstrip('.')}; {remedy}."


def _logging_config(log: EngineLog) -> dict[str, object]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "service.telemetry.logs.JsonFormatter"}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "json", "level": "WARNING"},
            "errors": {
                "()": "service.telemetry.logs.ErrorFile",
                "formatter": "json",
                "level": "ERROR",
                "filename": str(log.errors),
            },
            "steps": {"()": "service.engines.vllm.steps.StepFile", "level": "INFO", "filename": str(log.steps)},
        },
        "loggers": {"vllm": {"handlers": ["stderr", "errors", "steps"], "level": "INFO", "propagate": False}},
    }


def _close_file_handlers() -> None:
    logger = logging.getLogger("vllm")
    for handler in [each for each in logger.handlers if isinstance(each, logging.FileHandler)]:
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(logging.WARNING)


def _last_logged(errors: Path) -> str | None:
    """The first logged cause; the errors after it are consequences."""
    lines = errors.read_text().splitlines() if errors.is_file() else []
    exceptions = [entry["exception"] for entry in map(json.loads, lines) if "exception" in entry]
    return _one_line(str(exceptions[0])) if exceptions else None


def _first_line(error: BaseException) -> str:
    return _one_line(f"{type(error).__name__}: {error}")


def _one_line(text: str) -> str:
    """The relevant one of pydantic's many lines."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    reason = next((line for line in lines if line.startswith(("Value error, ", "Assertion failed, "))), lines[0])
    return reason.removeprefix("Value error, ").removeprefix("Assertion failed, ").partition(" [type=")[0]
