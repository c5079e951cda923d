"""Refuses models that no engine runs, by what their config.json says of their architecture."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.checkpoint.model_config import SIMILARITY_BERT
from service.errors import ModelStoreError

CLASSIFIER = "ForSequenceClassification"
_CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")

_log = logging.getLogger("limrank.models")


def needs_code(config: Mapping[str, Any], folder: Path) -> str:
    """The sentence for a model that is more than what transformers has."""
    return (
        f"{folder} ({_shown(config)}) needs the code that comes with it (auto_map in its config.json), which is never "
        "run here; serve a model whose architecture transformers itself has."
    )


def refuse_foreign(config: Mapping[str, Any], folder: Path, architectures: Sequence[str]) -> None:
    """Raises ModelStoreError for a model that no engine runs: an encoder-decoder, one that needs its own code, or one
    without an output to be read.

    Causal models of a type that transformers does not know are left to vLLM, which may know it.
    """
    from transformers import CONFIG_MAPPING

    model_type, code = config.get("model_type"), config.get("auto_map")
    known = model_type == SIMILARITY_BERT or model_type in CONFIG_MAPPING
    known = known or any(name.endswith("ForCausalLM") for name in architectures)
    if code and (not known or _own_class(architectures, model_type)):
        raise ModelStoreError(needs_code(config, folder))
    if not known:
        raise ModelStoreError(
            f"{folder} is a model of type {model_type!r}, which this version of transformers does not know; serve "
            "another model."
        )
    if code:
        _log.warning("model_code_ignored", extra={"folder": str(folder), "model_type": model_type})
    if config.get("is_encoder_decoder"):
        raise ModelStoreError(
            f"{folder} is an encoder-decoder ({_shown(config)}), which no engine runs; serve a causal model, or a "
            f"classifier with one output (*{CLASSIFIER})."
        )
    if architectures and not any(name.endswith((CLASSIFIER, *_CAUSAL)) for name in _of_transformers(architectures)):
        raise ModelStoreError(
            f"{folder} is a {_shown(config)}, which has neither a language model's output nor a classifier's, so it "
            f"scores no pair; serve a causal reranker, or a classifier with one output (*{CLASSIFIER})."
        )


def is_decoder(config: Mapping[str, Any]) -> bool:
    """True for types that transformers has no masked language model of: their classifiers are read at the last token,
    and may be asked with the prompt of a causal model."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    return config.get("model_type") not in {*MODEL_FOR_MASKED_LM_MAPPING_NAMES, SIMILARITY_BERT}


def _own_class(architectures: Sequence[str], model_type: Any) -> bool:
    """True for a classifier whose class is not the one that transformers has for this type, although it names code of
    its own: transformers would load another model in its place."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES as CLASSES

    named: Any = CLASSES.get(model_type)
    own = (named,) if isinstance(named, str) else tuple(named or ())
    classifiers = [name for name in architectures if name.endswith(CLASSIFIER)]
    causal = any(name.endswith(_CAUSAL) for name in architectures)
    return (bool(architectures) and not causal) and not any(name in own for name in classifiers)


def _of_transformers(architectures: Sequence[str]) -> list[str]:
    """The causal classes whose names do not say so, under a name that does."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    causal = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    return [f"{name}{_CAUSAL[0]}" if name in causal else name for name in architectures]


def _shown(config: Mapping[str, Any]) -> str:
    named = config.get("architectures")
    return ", ".join(map(str, named if isinstance(named, list) else ())) or "a model of no stated architecture"
