"""Chooses and builds the engine for a checkpoint. An engine's libraries are imported only when it is chosen."""

from __future__ import annotations

import logging
from importlib.util import find_spec

from contract.checkpoint.model_config import CONFIG, SIMILARITY_BERT, read_json_object
from service.engine import Engine
from service.engines.causal.several_reads import SeveralReads
from service.engines.vllm.startup import VllmOptions, quiet_environment
from service.errors import EngineOptionError, ModelStoreError
from service.models.checkpoint import PLAIN_PAIRS, Checkpoint
from service.ranking import Mode
from service.settings import Settings

_NO_VLLM = "vLLM is not installed (in the project's folder: pip install '.[vllm]')"

_log = logging.getLogger("limrank.engines")


def build_engine(settings: Settings, checkpoint: Checkpoint) -> Engine:
    """Loads the checkpoint into the engine that `settings.engine` names. Blocks for seconds to minutes.

    Raises ModelStoreError when this checkpoint and this engine are incompatible, and EngineOptionError for a mode that
    it does not have.
    """
    _check_mode(settings.mode, checkpoint)
    if checkpoint.manifest.kind == "cross-encoder":
        return _cross_encoder(settings, checkpoint)
    if settings.engine == "cross-encoder":
        raise ModelStoreError(f"{checkpoint.name} is a causal model and no cross-encoder; leave the engine at auto.")
    name = _automatic(settings.device) if settings.engine == "auto" else settings.engine
    engine = _vllm(settings, checkpoint) if name == "vllm" else _transformers(settings, checkpoint)
    return SeveralReads(engine) if len(engine.encoder.reading.reads) > 1 else engine


def build_first_stage(settings: Settings, checkpoint: Checkpoint) -> Engine:
    """Loads the first stage of a cascade: a causal model into the transformers engine, since vLLM takes a GPU's memory
    for one model. The settings of the served model's engine and prompts are not its own. Raises as `build_engine`."""
    engine = "auto" if checkpoint.manifest.kind == "cross-encoder" else "transformers"
    own = {"engine": engine, "mode": Mode.DIRECT, "query_prompt": None, "passage_prompt": None}
    return build_engine(settings.model_copy(update=own), checkpoint)


def _check_mode(mode: Mode, checkpoint: Checkpoint) -> None:
    """A default that the model does not have would be the refusal of every call that names no mode."""
    form = checkpoint.manifest.format
    if mode is not Mode.DIRECT and (form is None or not form.reasons):
        raise EngineOptionError(
            f"--mode {mode.value}: {checkpoint.name} writes no reasoning; leave the mode at direct, or choose another "
            "model."
        )


def _automatic(device: str) -> str:
    """vllm if a GPU is visible, vLLM is installed and no device is named; otherwise transformers."""
    import torch

    if device != "auto" or not torch.cuda.is_available():
        return "transformers"
    if find_spec("vllm") is None:
        reason = f"a GPU is visible, but {_NO_VLLM}; transformers runs on the CPU unless --device cuda is given"
        _log.warning("gpu_unused", extra={"reason": reason})
        return "transformers"
    return "vllm"


def _cross_encoder(settings: Settings, checkpoint: Checkpoint) -> Engine:
    if settings.engine == "vllm":
        if read_json_object(checkpoint.folder / CONFIG).get("model_type") == SIMILARITY_BERT:
            raise ModelStoreError(
                f"{checkpoint.name} has a bi-encoder beside its classifier, which vLLM does not know; leave the engine "
                "at auto."
            )
        return _vllm(settings, checkpoint)
    if settings.engine not in ("auto", "cross-encoder"):
        raise ModelStoreError(
            f"{checkpoint.name} is a cross-encoder, which the engine {settings.engine} cannot run; leave it at auto."
        )
    from service.engines.cross_encoder.encoder import overridden
    from service.engines.cross_encoder.engine import CrossEncoderEngine
    from service.engines.device import resolve_device

    prompts = overridden(checkpoint, settings.query_prompt, settings.passage_prompt)
    if prompts is None and checkpoint.plain_pairs_of_a_chat_model:
        _log.warning("plain_pairs", extra={"model": checkpoint.name, "reason": PLAIN_PAIRS})

    return CrossEncoderEngine.load(
        checkpoint,
        dtype=settings.dtype,
        device=resolve_device(settings.device),
        threads=settings.threads,
        prompts=prompts,
    )


def _transformers(settings: Settings, checkpoint: Checkpoint) -> Engine:
    from service.engines.device import resolve_device
    from service.engines.transformers.engine import TransformersEngine

    # The engine's own attention was never measured on a GPU, so it uses one only when named.
    device = resolve_device("cpu" if settings.device == "auto" else settings.device)
    return TransformersEngine.load(checkpoint, dtype=settings.dtype, device=device, threads=settings.threads)


def _vllm(settings: Settings, checkpoint: Checkpoint) -> Engine:
    if find_spec("vllm") is None:
        raise ModelStoreError(f"{_NO_VLLM}; install it, or choose --engine transformers.")
    if settings.device != "auto":
        raise EngineOptionError(
            f"--device {settings.device}: vLLM computes on what it was built for; leave the device at auto, or choose "
            "--engine transformers or cross-encoder."
        )
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
    if checkpoint.manifest.kind == "cross-encoder":
        from service.engines.cross_encoder.encoder import overridden

        prompts = overridden(checkpoint, settings.query_prompt, settings.passage_prompt)
        return client.load_classifier(checkpoint, options, prompts)
    return client.load(checkpoint, options)
