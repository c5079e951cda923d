"""Reads the files by which Sentence Transformers (5.4 and later) describes a causal reranker with a `LogitScore`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from contract.formats.prompt_format import PromptFormat
from contract.formats.tokenizer import ContractError
from service.models.library.template import cut_template, read_object, read_template

_MODULES = "modules.json"
_TYPE = "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"


def has_logit_score(folder: Path) -> bool:
    """True when the folder describes a causal reranker to Sentence Transformers. Raises ContractError."""
    return any(str(module.get("type", "")).endswith(".LogitScore") for module in _modules(folder))


def imported_format(folder: Path, name: str, tokenizer: Tokenizer) -> PromptFormat:
    """The format that the folder's files describe. Raises ContractError with the reason where they cannot be served."""
    modules = _modules(folder)
    kinds = [str(module.get("type", "")) for module in modules]
    if len(modules) != 2 or not kinds[0].endswith(".Transformer") or kinds[1] != _TYPE:
        raise ContractError(f"{folder / _MODULES} names {', '.join(kinds)}; served are a Transformer and a LogitScore.")
    score = read_object(folder / str(modules[1].get("path", "1_LogitScore")) / "config.json")
    stated = read_object(folder / "sentence_bert_config.json")
    if (task := stated.get("transformer_task", "text-generation")) != "text-generation":
        raise ContractError(f"{folder} is a LogitScore folder of the task {task!r}; served are text-generation models.")
    template = read_template(folder)
    if template is None:
        raise ContractError(f"{folder} has no chat_template.jinja, so its prompt is unknown; save the template there.")
    words = {slot: _entry(score, slot, tokenizer, folder) for slot in ("true_token_id", "false_token_id")}
    cut = cut_template(template, tokenizer)
    return PromptFormat(
        name=name,
        prompt=cut.prompt,
        prompt_without_instruction=cut.without_instruction,
        default_instruction=cut.default_instruction,
        true_words=words["true_token_id"],
        false_words=words["false_token_id"],
        words_as="vocabulary",
        special=cut.special(tokenizer),
        delimiters=cut.delimiters,
    )


def _modules(folder: Path) -> list[dict[str, Any]]:
    path = folder / _MODULES
    if not path.is_file():
        return []
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ContractError(f"{path} is not JSON ({error}); fetch or save it again.") from error
    return [module for module in modules if isinstance(module, dict)] if isinstance(modules, list) else []


def _entry(score: Mapping[str, Any], key: str, tokenizer: Tokenizer, folder: Path) -> tuple[str, ...]:
    """The vocabulary's entry of an id; () for none."""
    value = score.get(key)
    if value is None and key == "false_token_id":
        return ()
    entry = tokenizer.id_to_token(value) if type(value) is int and value >= 0 else None
    if entry is None:
        raise ContractError(f"{folder}: {key} of its LogitScore is {value!r}, which is no token of its tokenizer.")
    return (entry,)
