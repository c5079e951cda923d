"""The parts of a model's configuration that change a score, read from the JSON files of its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
ADAPTER_CONFIG = "adapter_config.json"
SIMILARITY_BERT = "limrank_similarity_bert"  # the one model_type of our own (retrieval.similarity_bert)
SIMILARITY_PREFIX = "similarity."  # of the names of its frozen weights

_MOST_BYTES = 64 * 2**20
_ENDS = "eos_token_id"  # in generation_config.json: the tokens that end reasoning
# Fields for people or for training, which do not affect scoring.
_NO_EFFECT = frozenset(
    {
        *("transformers_version", "_name_or_path", "name_or_path", "_commit_hash", "sentence_transformers"),
        *("use_cache", "gradient_checkpointing", "initializer_range", "initializer_factor", "finetuning_task"),
        *("output_attentions", "output_hidden_states", "return_dict", "problem_type", "_attn_implementation"),
    }
)
_NO_EFFECT_OF_ADAPTER = frozenset(
    {
        *("base_model_name_or_path", "revision", "inference_mode", "peft_version", "auto_mapping", "task_type"),
        *("init_lora_weights", "lora_dropout", "eva_config", "corda_config", "loftq_config", "lora_ga_config"),
    }
)
_RENAMED = {"torch_dtype": "dtype"}  # renamed by transformers 5


class ConfigError(ValueError):
    """A JSON file of a model folder that cannot be read. The message names the file and the remedy."""


def read_json_object(path: Path) -> dict[str, Any]:
    """Reads a JSON file that holds an object. Raises ConfigError."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise ConfigError(f"{path} must hold a JSON object, not {type(value).__name__}; fetch or save it again.")
    return value


def read_json(path: Path) -> Any:
    """Reads a JSON file. Raises ConfigError."""
    try:
        if not path.is_file():
            reason = "it is no file" if path.exists() else "there is no such file"
            raise ConfigError(f"{path} cannot be read: {reason}; fetch or save it again.")
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(f"{path} has more than {_MOST_BYTES} bytes; fetch or save it again.")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}; mend it.") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path} is not JSON ({_reason(error)}); fetch or save it again.") from error


def config_of(folder: Path) -> dict[str, Any]:
    """The configuration of a model folder that affects scores: config.json without names, versions and training
    settings, and the end-of-text tokens of generation_config.json under `generation_config`. Raises ConfigError."""
    config = _relevant(read_json_object(folder / CONFIG), _NO_EFFECT)
    path = folder / GENERATION_CONFIG
    ends = read_json_object(path).get(_ENDS) if path.exists() else None
    return config if ends is None else {**config, "generation_config": {_ENDS: ends}}


def adapter_config_of(folder: Path) -> dict[str, Any]:
    """The configuration of an adapter's folder that affects scores. Raises ConfigError."""
    return _relevant(read_json_object(folder / ADAPTER_CONFIG), _NO_EFFECT_OF_ADAPTER)


def difference(stated: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """The first setting in which two configurations differ, as `'x' is 1 and was 2`; None when they are equal."""
    for name in sorted(set(stated) | set(found)):
        was, now = (_shown(each, name) for each in (stated, found))
        if (name in stated) != (name in found) or not _same(stated[name], found[name]):
            return f"{name!r} is {now} and was {was}"
    return None


def _relevant(config: Mapping[str, Any], no_effect: frozenset[str]) -> dict[str, Any]:
    named = {_RENAMED.get(name, name): value for name, value in sorted(config.items())}
    return {
        name: sorted(value) if name == "target_modules" and _texts(value) else value
        for name, value in sorted(named.items())
        if name not in no_effect and "dropout" not in name and "pdrop" not in name
    }


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _same(one: Any, other: Any) -> bool:
    """Equality as JSON, where true is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _shown(config: Mapping[str, Any], name: str) -> str:
    if name not in config:
        return "absent"
    text = json.dumps(config[name])
    return text if len(text) <= 60 else f"{text[:60]}..."


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
