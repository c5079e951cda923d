"""The chat template of a folder, cut into the pieces of a prompt.

It is rendered with marks for query, document and instruction, cut at them, and proven on random texts: filled in, the
pieces give the string that the template gives. Templates run in the sandbox of transformers.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from contract.formats.seams import check_joined, cut_before_document, random_text
from contract.formats.template import Pieces, filled
from contract.formats.tokenizer import ContractError

_MARKS = {slot: f"\ue000{slot}\ue001" for slot in ("query", "document", "instruction")}
_RENDERED_TEXTS = 60
# By these a template shows that it expects contents as lists of parts; without them they are texts.
_PARTS = ("content[0]", ".type", "'type'", '"type"', "message.content[")


@dataclass(frozen=True, slots=True)
class Template:
    """A chat template and what it is rendered with. `structured`: contents are lists of parts, else texts."""

    source: str
    settings: Mapping[str, Any]
    structured: bool
    where: Path

    def render(self, query: str, document: str, instruction: str | None) -> str:
        from transformers.utils.chat_template_utils import render_jinja_template

        texts = [("system", instruction), ("query", query), ("document", document)]
        messages = [{"role": role, "content": self._content(text)} for role, text in texts if text is not None]
        rendered: Any = render_jinja_template([messages], chat_template=self.source, **self.settings)
        return str(rendered[0][0])  # the first of (texts, places of generated text), and of one conversation

    def _content(self, text: str) -> str | list[dict[str, str]]:
        return [{"type": "text", "text": text}] if self.structured else text

    @property
    def has_roles(self) -> bool:
        """True when it writes anything of the roles query and document; templates for chats do not."""
        try:
            rendered = self.render(_MARKS["query"], _MARKS["document"], None)
        except Exception:  # noqa: BLE001 - a template for chats refuses roles that it does not know
            return False
        return any(_MARKS[slot] in rendered for slot in ("query", "document"))


@dataclass(frozen=True, slots=True)
class CutTemplate:
    """The pieces of a prompt, with an instruction and without (() where that is the same), and its default."""

    prompt: Pieces
    without_instruction: Pieces
    default_instruction: str | None

    @property
    def delimiters(self) -> tuple[str, ...]:
        return tuple(tag for tag in ("<think>", "</think>") if any(tag in piece for piece in self.prompt))

    def special(self, tokenizer: Tokenizer) -> tuple[str, ...]:
        """The tokenizer's special strings that stand in the prompt."""
        strings = (token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special)
        return tuple(text for text in strings if any(text in piece for piece in self.prompt))


def read_template(folder: Path) -> Template | None:
    """The folder's chat template, rendered as its files say; None where there is none. Raises ContractError."""
    stated = read_object(folder / "sentence_bert_config.json")
    tokens = read_object(folder / "tokenizer_config.json")
    file = folder / "chat_template.jinja"
    source = _text_of(file) if file.exists() else tokens.get("chat_template")
    if isinstance(source, list):  # several by name
        named = {str(each.get("name")): each.get("template") for each in source if isinstance(each, dict)}
        source = named.get("default")
    if not isinstance(source, str):
        return None
    message = (stated.get("modality_config") or {}).get("message") or {}
    settings = dict((stated.get("processing_kwargs") or {}).get("chat_template") or {})
    settings.pop("restore_suffix", None)
    special = {name: _token(tokens.get(name)) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
    settings = {name: text for name, text in special.items() if text is not None} | settings
    written = message.get("format", "auto")
    structured = any(sign in source for sign in _PARTS) if written == "auto" else written == "structured"
    return Template(source, settings, structured, folder)


def cut_template(template: Template, tokenizer: Tokenizer) -> CutTemplate:
    """Raises ContractError, with the reason, for a template that cannot be cut."""
    general = read_object(template.where / "config_sentence_transformers.json")
    prompts = general.get("prompts") or {}
    default = prompts.get(general.get("default_prompt_name")) or None
    with_instruction = _cut(template, tokenizer, stated=True)
    without = () if default else _cut(template, tokenizer, stated=False)
    if not any("{instruction}" in piece for piece in with_instruction):
        with_instruction, without = without or with_instruction, ()
    return CutTemplate(with_instruction, without, default)


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file, {} where there is no file. Raises ContractError."""
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ContractError(f"{path} is not JSON ({error}); fetch or save it again.") from error
    if not isinstance(data, dict):
        raise ContractError(f"{path} must hold a JSON object, not {type(data).__name__}.")
    return data


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ContractError(f"{path} cannot be read: {reason}; fetch or save it again.") from error
    except UnicodeDecodeError as error:
        raise ContractError(f"{path} is not UTF-8 ({error.reason}); fetch or save it again.") from error


def _token(value: Any) -> str | None:
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else None


def _cut(template: Template, tokenizer: Tokenizer, *, stated: bool) -> Pieces:
    """The pieces of a template with an instruction or without. Raises ContractError with the reason."""
    whole = _marked(template, stated)
    cut = cut_before_document(whole, tokenizer)
    check_joined(cut, tokenizer, whole)
    _check_rendered(template, whole, stated)
    return cut


def _marked(template: Template, stated: bool) -> str:
    """The rendered template with slots in the places of the marks."""
    instruction = _MARKS["instruction"] if stated else None
    try:
        rendered = template.render(_MARKS["query"], _MARKS["document"], instruction)
    except Exception as error:  # whatever a template raises, or jinja about it
        raise ContractError(
            f"The chat template of {template.where} cannot be rendered for a query and a document "
            f"({type(error).__name__}: {error}); it must write the roles query and document, each once."
        ) from error
    for slot in ("query", "document"):
        if (count := rendered.count(_MARKS[slot])) != 1:
            raise ContractError(
                f"The chat template of {template.where} writes the {slot} {count} times; a template for reranking "
                "writes the messages of the roles query and document once each, and no loop over user messages does."
            )
    if rendered.count(_MARKS["instruction"]) > 1:
        raise ContractError(
            f"The chat template of {template.where} writes the instruction several times; it cannot be cut."
        )
    for slot, mark in _MARKS.items():
        rendered = rendered.replace(mark, f"{{{slot}}}")
    return rendered


def _check_rendered(template: Template, whole: str, stated: bool) -> None:
    """Raises ContractError where the template treats some texts in another way, such as trimming them."""
    choose = random.Random(1)  # noqa: S311 - texts to try
    for number in range(_RENDERED_TEXTS):
        query, document = random_text(choose), random_text(choose) * (1 if number % 7 else 200)
        instruction = f"x{random_text(choose)}" if stated else None
        values = {"query": query, "document": document, "instruction": instruction or ""}
        if template.render(query, document, instruction) != filled(whole, values):
            raise ContractError(
                f"The chat template of {template.where} changes texts or branches by them, for example for the "
                f"document {document[:40]!r}; such a template cannot be cut. State the prompt yourself with --format "
                "FILE."
            )
