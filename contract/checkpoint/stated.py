"""Checks what the JSON files beside a model's weights state: every value that is read is of the kind that its readers
expect.

Such files come from other libraries and from people's hands. A value of another kind is a sentence that names file and
field, in one place for all readers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from contract.checkpoint.model_config import CONFIG, ConfigError, read_json, read_json_object

_MODULES = "modules.json"
_BERT = "sentence_bert_config.json"
_LIBRARY = "config_sentence_transformers.json"
_LARGEST = 2**31  # of whole numbers, which libraries in other languages read
_NAMES: Mapping[type[Any], str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "an object",
}
_FIELDS: Mapping[str, Mapping[str, type[Any]]] = {
    CONFIG: {
        "architectures": list,
        "id2label": dict,
        "num_labels": int,
        "sentence_transformers": dict,
        "sbert_ce_default_activation_function": str,
    },
    "tokenizer_config.json": {"model_max_length": float, "model_input_names": list, "tokenizer_class": str},
    _BERT: {
        "max_seq_length": float,
        "do_lower_case": bool,
        "modality_config": dict,
        "processing_kwargs": dict,
        "transformer_task": str,
    },
    _LIBRARY: {"activation_fn": str, "prompts": dict, "default_prompt_name": str},
}
_WORDS = {"true_token_id": int, "false_token_id": int}


def check_stated(folder: Path) -> None:
    """Raises ConfigError for a file of `folder` that is no JSON object, and for a value of another kind. Null counts as
    not stated."""
    found = {name: _checked_file(folder / name, fields) for name, fields in _FIELDS.items()}
    if not all(key.isdecimal() for key in found[CONFIG].get("id2label", {})):
        raise ConfigError(f"{folder / CONFIG}: id2label must name outputs by numbers; fetch or save it again.")
    prompts = found[_LIBRARY].get("prompts", {})
    _checked(prompts, dict.fromkeys(prompts, str), f"{folder / _LIBRARY}: prompts")
    _checked(found[_BERT].get("modality_config", {}), {"message": dict}, f"{folder / _BERT}: modality_config")
    _checked(found[_BERT].get("processing_kwargs", {}), {"chat_template": dict}, f"{folder / _BERT}: processing_kwargs")
    for place in _modules(folder / _MODULES):
        _checked_file(folder / place / CONFIG, _WORDS)


def _checked_file(path: Path, fields: Mapping[str, type[Any]]) -> dict[str, Any]:
    return _checked(read_json_object(path), fields, str(path)) if path.exists() else {}


def _checked(values: Mapping[str, Any], fields: Mapping[str, type[Any]], where: str) -> dict[str, Any]:
    """The fields that are stated. Raises ConfigError."""
    found = {name: values[name] for name in fields if values.get(name) is not None}
    for name, value in found.items():
        if not _is(value, fields[name]):
            raise ConfigError(
                f"{where}: {name} is {str(value)[:40]!r}; it must be {_NAMES[fields[name]]}. Fetch or save it again."
            )
    return found


def _modules(path: Path) -> list[str]:
    """The folders of the modules behind the network. Raises ConfigError."""
    if not path.exists():
        return []
    value = read_json(path)
    if not isinstance(value, list) or not all(isinstance(module, dict) for module in value):
        raise ConfigError(f"{path} holds no list of modules, each an object; fetch or save it again.")
    places = [_checked(module, {"type": str, "path": str}, str(path)).get("path", "") for module in value]
    for place in places:
        if PurePosixPath(place).is_absolute() or ".." in PurePosixPath(place).parts or "\0" in place:
            raise ConfigError(f"{path} names {place[:80]!r}, which is no folder beside it; mend it.")
    return [place for place in places if place]


def _is(value: Any, kind: type[Any]) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if kind is int:
        return isinstance(value, int) and abs(value) < _LARGEST
    return isinstance(value, (int, float)) if kind is float else isinstance(value, kind)
