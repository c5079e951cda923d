"""Chooses and builds the engine for a checkpoint. The libraries of an engine are imported only when it is chosen."""

from __future__ import annotations

import logging
from importlib.util import find_spec

from service.engine import Engine
from service.engines.vllm.startup import VllmOptions, quiet_environment
from service.errors import ModelStoreError
from service.models.checkpoint import Checkpoint
from service.settings import Settings

_NO_VLLM = "vLLM is not installed (in the project's folder: pip install '.[vllm]')"

_log = logging.getLogger("limrank.engines")


def build_engine(settings: Settings, checkpoint: Checkpoint) -> Engine:
    """Load the checkpoint into the engine that `settings.engine` names. Blocks; takes seconds to minutes.

    Raise ModelStoreError with a sentence when this checkpoint and this engine do not go together.
    """
    if checkpoint.manifest.kind == "cross-encoder":
        return _cross_encoder(settings, checkpoint)
    if settings.engine == "cross-encoder":
        raise ModelStoreError(f"{checkpoint.name} is a causal model and no cross-encoder; leave the engine at auto.")
    name = _automatic() if settings.engine == "auto" else settings.engine
    return _vllm(settings, checkpoint) if name == "vllm" else _transformers(settings, checkpoint)


def _automatic() -> str:
    """vllm where a GPU is visible, if it is installed."""
    import torch

    if not torch.cuda.is_available():
        return "transformers"
    if find_spec("vllm") is None:
        _log.warning("gpu_unused", extra={"reason": f"a GPU is visible, but {_NO_VLLM}; transformers runs on the CPU"})
        return "transformers"
    return "vllm"


def _cross_encoder(settings: Settings, checkpoint: Checkpoint) -> Engine:
    if settings.engine not in ("auto", "cross-encoder"):
        raise ModelStoreError(
            f"{checkpoint.name} is a cross-encoder, which the engine {settings.engine} cannot run; leave it at auto."
        )
    from service.engines.cross_encoder.engine import CrossEncoderEngine

    return CrossEncoderEngine.load(checkpoint, dtype=settings.dtype, threads=settings.threads)


def _transformers(settings: Settings, checkpoint: Checkpoint) -> Engine:
    from service.engines.transformers.engine import TransformersEngine

    return TransformersEngine.load(checkpoint, dtype=settings.dtype, threads=settings.threads)


def _vllm(settings: Settings, checkpoint: Checkpoint) -> Engine:
    if find_spec("vllm") is None:
        raise ModelStoreError(f"{_NO_VLLM}; install it, or choose --engine transformers.")
    quiet_environment()
    from service.engines.vllm import client

    options = VllmOptions(
        dtype=settings.dtype,
        tensor_parallel_size=settings.tensor_parallel_size,
        data_parallel_size=settings.data_parallel_size,
        quantization=settings.quantization,
        gpu_memory_utilization=settings.gpu_memory_utilization,
        max_model_len=settings.max_model_len,
        max_num_batched_tokens=settings.max_num_batched_tokens,
        max_num_seqs=settings.max_num_seqs,
        stuck_after=settings.stuck_after,
        extra=settings.vllm_args or {},
    )
    return client.load(checkpoint, options)
