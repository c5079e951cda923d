"""Checks that a checkpoint holds all weights before vLLM loads it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from transformers import AutoModelForCausalLM
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)

from contract.checkpoint.model_config import CONFIG, read_json_object
from service.engines.vllm.startup import VllmOptions
from service.engines.whole import load_whole
from service.models.checkpoint import Checkpoint, is_quantised

_log = logging.getLogger("limrank.vllm_engine")


def check_weights(checkpoint: Checkpoint, extra: Mapping[str, Any], auto: Any) -> None:
    """Raises ModelStoreError unless the files contain every weight that the configuration requires: vLLM itself leaves
    missing weights uninitialised.

    transformers can check this without reading weights, except for quantised weights, for code that comes with a model,
    and for weights that the user loads in another way.
    """
    reason = _uncheckable(checkpoint, extra, auto)
    if reason is not None:
        _log.warning("weights_not_compared", extra={"model": checkpoint.name, "reason": reason})
        return
    advice = ", so nobody knows whether its weights are whole; serve another model"
    load_whole(auto, checkpoint.folder, advice, dtype="float32", device_map="meta")


def _uncheckable(checkpoint: Checkpoint, extra: Mapping[str, Any], auto: Any) -> str | None:
    config = read_json_object(checkpoint.folder / CONFIG)
    if extra.get("load_format", "auto") not in ("auto", "hf", "safetensors"):
        return f"load_format is {extra['load_format']}"
    if is_quantised(config):
        return "its weights are quantised"
    if extra.get("trust_remote_code") or extra.get("hf_overrides"):
        return "--vllm-args change what is loaded"
    names: Mapping[str, str] = (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        if auto is AutoModelForCausalLM
        else MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
    )
    known = names.get(config["model_type"])
    named = config.get("architectures") or [known]
    return None if known is not None and known in named else f"transformers has no {named[0] or config['model_type']}"


def has_quantised_head(checkpoint: Checkpoint, options: VllmOptions) -> bool:
    """Whether the last layer may be quantised; vLLM's own fp8 leaves it unquantised."""
    return options.quantization not in (None, "fp8") or is_quantised(read_json_object(checkpoint.folder / CONFIG))
