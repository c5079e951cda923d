"""Reads the files by which Sentence Transformers (5.4 and later) describes a causal reranker: its `LogitScore` module.

The chat template is rendered with marks for query, document and instruction, cut at them, and proven on random texts:
filled in, the pieces give the string that the template gives. Templates run in the sandbox of transformers.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from contract.formats.prompt_format import PromptFormat
from contract.formats.seams import check_joined, cut_before_document, random_text
from contract.formats.template import Pieces, filled
from contract.formats.tokenizer import ContractError

_MODULES = "modules.json"
_TYPE = "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"
_MARKS = {slot: f"\ue000{slot}\ue001" for slot in ("query", "document", "instruction")}
_RENDERED_TEXTS = 60


@dataclass(frozen=True, slots=True)
class _Template:
    """A chat template and what it is rendered with. `structured`: contents are lists of parts, else texts."""

    source: str
    settings: Mapping[str, Any]
    structured: bool

    def render(self, query: str, document: str, instruction: str | None) -> str:
        from transformers.utils.chat_template_utils import render_jinja_template

        texts = [("system", instruction), ("query", query), ("document", document)]
        messages = [{"role": role, "content": self._content(text)} for role, text in texts if text is not None]
        rendered: Any = render_jinja_template([messages], chat_template=self.source, **self.settings)
        return str(rendered[0][0])  # the first of (texts, places of generated text), and of one conversation

    def _content(self, text: str) -> str | list[dict[str, str]]:
        return [{"type": "text", "text": text}] if self.structured else text


def has_logit_score(folder: Path) -> bool:
    """True when the folder describes a causal reranker to Sentence Transformers."""
    return any(module.get("type", "").endswith(".LogitScore") for module in _modules(folder))


def imported_format(folder: Path, name: str, tokenizer: Tokenizer) -> PromptFormat:
    """The format that the folder's files describe. Raises ContractError with the reason where they cannot be served."""
    modules = _modules(folder)
    kinds = [str(module.get("type", "")) for module in modules]
    if len(modules) != 2 or not kinds[0].endswith(".Transformer") or kinds[1] != _TYPE:
        raise ContractError(f"{folder / _MODULES} names {', '.join(kinds)}; served are a Transformer and a LogitScore.")
    score = _json(folder / str(modules[1].get("path", "1_LogitScore")) / "config.json")
    general = _json(folder / "config_sentence_transformers.json")
    prompts = general.get("prompts") or {}
    default = prompts.get(general.get("default_prompt_name")) or None
    template = _template(folder)
    words = {slot: _entry(score, slot, tokenizer, folder) for slot in ("true_token_id", "false_token_id")}
    with_instruction = _cut(template, tokenizer, stated=True, where=folder)
    without = () if default else _cut(template, tokenizer, stated=False, where=folder)
    if not any("{instruction}" in piece for piece in with_instruction):
        with_instruction, without = without or with_instruction, ()
    return PromptFormat(
        name=name,
        prompt=with_instruction,
        prompt_without_instruction=without,
        default_instruction=default,
        true_words=words["true_token_id"],
        false_words=words["false_token_id"],
        words_as="vocabulary",
        special=_special(with_instruction, tokenizer),
        delimiters=tuple(tag for tag in ("<think>", "</think>") if any(tag in piece for piece in with_instruction)),
    )


def _modules(folder: Path) -> list[dict[str, Any]]:
    path = folder / _MODULES
    if not path.is_file():
        return []
    modules = json.loads(path.read_text(encoding="utf-8"))
    return [module for module in modules if isinstance(module, dict)] if isinstance(modules, list) else []


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ContractError(f"{path} is not JSON ({error}); fetch or save it again.") from error
    if not isinstance(data, dict):
        raise ContractError(f"{path} must hold a JSON object, not {type(data).__name__}.")
    return data


def _template(folder: Path) -> _Template:
    stated = _json(folder / "sentence_bert_config.json")
    if (task := stated.get("transformer_task", "text-generation")) != "text-generation":
        raise ContractError(f"{folder} is a LogitScore folder of the task {task!r}; served are text-generation models.")
    tokens = _json(folder / "tokenizer_config.json")
    file = folder / "chat_template.jinja"
    source = file.read_text(encoding="utf-8") if file.is_file() else tokens.get("chat_template")
    if not isinstance(source, str):
        raise ContractError(f"{folder} has no chat_template.jinja, so its prompt is unknown; save the template there.")
    message = (stated.get("modality_config") or {}).get("message") or {}
    settings = dict((stated.get("processing_kwargs") or {}).get("chat_template") or {})
    settings.pop("restore_suffix", None)
    special = {name: _token(tokens.get(name)) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
    settings = {name: text for name, text in special.items() if text is not None} | settings
    return _Template(source, settings, message.get("format", "structured") == "structured")


def _token(value: Any) -> str | None:
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else None


def _entry(score: Mapping[str, Any], key: str, tokenizer: Tokenizer, folder: Path) -> tuple[str, ...]:
    """The vocabulary's entry of an id; () for none."""
    value = score.get(key)
    if value is None and key == "false_token_id":
        return ()
    entry = tokenizer.id_to_token(value) if isinstance(value, int) and value >= 0 else None
    if entry is None:
        raise ContractError(f"{folder}: {key} of its LogitScore is {value!r}, which is no token of its tokenizer.")
    return (entry,)


def _cut(template: _Template, tokenizer: Tokenizer, *, stated: bool, where: Path) -> Pieces:
    """The pieces of a template with an instruction or without. Raises ContractError with the reason."""
    whole = _marked(template, stated, where)
    cut = cut_before_document(whole, tokenizer)
    check_joined(cut, tokenizer, whole)
    _check_rendered(template, whole, stated, where)
    return cut


def _marked(template: _Template, stated: bool, where: Path) -> str:
    """The rendered template with slots in the places of the marks."""
    instruction = _MARKS["instruction"] if stated else None
    try:
        rendered = template.render(_MARKS["query"], _MARKS["document"], instruction)
    except Exception as error:  # whatever a template raises, or jinja about it
        raise ContractError(
            f"The chat template of {where} cannot be rendered for a query and a document "
            f"({type(error).__name__}: {error}); it must write the roles query and document, each once."
        ) from error
    for slot in ("query", "document"):
        if (count := rendered.count(_MARKS[slot])) != 1:
            raise ContractError(
                f"The chat template of {where} writes the {slot} {count} times; a template for reranking writes the "
                "messages of the roles query and document once each, and no loop over user messages does."
            )
    if rendered.count(_MARKS["instruction"]) > 1:
        raise ContractError(f"The chat template of {where} writes the instruction several times; it cannot be cut.")
    for slot, mark in _MARKS.items():
        rendered = rendered.replace(mark, f"{{{slot}}}")
    return rendered


def _check_rendered(template: _Template, whole: str, stated: bool, where: Path) -> None:
    """Raises ContractError where the template treats some texts in another way, such as trimming them."""
    choose = random.Random(1)  # noqa: S311 - texts to try
    for number in range(_RENDERED_TEXTS):
        query, document = random_text(choose), random_text(choose) * (1 if number % 7 else 200)
        instruction = f"x{random_text(choose)}" if stated else None
        values = {"query": query, "document": document, "instruction": instruction or ""}
        if template.render(query, document, instruction) != filled(whole, values):
            raise ContractError(
                f"The chat template of {where} changes texts or branches by them, for example for the document "
                f"{document[:40]!r}; such a template cannot be cut. State the prompt yourself with --format FILE."
            )


def _special(pieces: Pieces, tokenizer: Tokenizer) -> tuple[str, ...]:
    return tuple(token for token in _specials(tokenizer) if any(token in piece for piece in pieces))


def _specials(tokenizer: Tokenizer) -> list[str]:
    return [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
