"""Finds the prompt format of a checkpoint that has no manifest, and says where it came from.

In this order: what the operator states (`--format`: a name, or a YAML file in the fields of
`contract.formats.prompt_format.PromptFormat`), the LogitScore files of Sentence Transformers in the folder, and the
words in the model's name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from tokenizers import Tokenizer

from contract.files import at_home, standing
from contract.formats.model_names import format_by_name
from contract.formats.named import NAMED_FORMATS
from contract.formats.prompt_format import PromptFormat
from contract.formats.reading import format_from_json, named_format
from contract.formats.seams import check_joined, cut_before_document
from contract.formats.template import Pieces
from contract.formats.tokenizer import ContractError
from service.models.library.logit_score import has_logit_score, imported_format
from service.models.library.template import Template, cut_template, read_object, read_template


@dataclass(frozen=True, slots=True)
class FoundFormat:
    """`source`: where the format came from, for people."""

    format: PromptFormat
    source: str


def find_format(folder: Path, name: str, tokenizer: Tokenizer, stated: str | None = None) -> FoundFormat | None:
    """The format of a model without a manifest, or None where nothing says it. Raises ContractError with a sentence."""
    if stated is not None:
        return stated_format(stated, tokenizer)
    if has_logit_score(folder):
        return FoundFormat(imported_format(folder, name, tokenizer), "the LogitScore files in its folder")
    named = format_by_name(name)
    return None if named is None else FoundFormat(named, f"the words in its name: {named.name}")


def classifier_format(folder: Path, name: str, tokenizer: Tokenizer, stated: str | None = None) -> FoundFormat | None:
    """How the pairs of a decoder with a classifier's head are written as prompts; None where they are pairs of texts.

    In this order: `--format`, a chat template with the roles query and document, and the words in the model's name.
    Raises ContractError for a format that a classifier cannot be asked with.
    """
    if stated is not None:
        return _read_at_once(stated_format(stated, tokenizer))
    template = read_template(folder)
    if template is not None and _writes_pairs(template):
        cut = cut_template(template, tokenizer)
        made = PromptFormat(
            name=name,
            prompt=cut.prompt,
            prompt_without_instruction=cut.without_instruction,
            default_instruction=cut.default_instruction,
            special=cut.special(tokenizer),
            delimiters=cut.delimiters,
        )
        return FoundFormat(made, "the chat template in its folder")
    named = format_by_name(name, classifier=True)
    return None if named is None else FoundFormat(named, f"the words in its name: {named.name}")


def has_chat_template(folder: Path) -> bool:
    """True for a folder with a chat template whose files do not say that pairs are plain texts."""
    stated = read_object(folder / "sentence_bert_config.json").get("modality_config")
    return stated is None and read_template(folder) is not None


def _writes_pairs(template: Template) -> bool:
    """Whether Sentence Transformers would write pairs with this template. Without a word on it in its files it does
    with every template that has the roles; where the files list texts alone, it does not."""
    modalities = read_object(template.where / "sentence_bert_config.json").get("modality_config")
    return template.has_roles if modalities is None else "message" in modalities


def _read_at_once(found: FoundFormat) -> FoundFormat:
    if found.format.reasons or found.format.grades:
        raise ContractError(
            f"The format {found.format.name!r} is read after reasoning or by grades, and a classifier has one output; "
            "serve the causal model, or state another format."
        )
    return found


def stated_format(stated: str, tokenizer: Tokenizer) -> FoundFormat:
    """What `--format` says. Raises ContractError."""
    if stated in NAMED_FORMATS or not ("/" in stated or stated.endswith((".yaml", ".yml")) or standing(stated)):
        return FoundFormat(named_format(stated, "--format"), f"--format {stated}")
    file = at_home(stated)
    return FoundFormat(joined(read_format_file(file), tokenizer), f"--format {file}")


def read_format_file(file: Path) -> PromptFormat:
    """The format in a YAML file. Raises ContractError."""
    try:
        data: Any = yaml.load(file.read_text(encoding="utf-8"), _Once)  # noqa: S506 - a SafeLoader
    except _WrittenTwice as error:
        raise ContractError(f"--format {file} writes {error} twice; keep one of them.") from None
    except OSError as error:
        raise ContractError(f"--format {file} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # also what is no text, and no path
        reason = "nested too deep" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise ContractError(f"--format {file} is not YAML: {reason}.") from error
    if isinstance(data, str):
        raise ContractError(
            f"--format {file} holds one text; it must hold the fields of a format, see docs/formats.md."
        )
    return format_from_json(data, str(file))


class _WrittenTwice(ValueError):
    """The key that one object of a file has twice."""


class _Once(yaml.SafeLoader):
    """Refuses what a file writes twice, of which YAML keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise _WrittenTwice(repr(twice[0]))
        return super().construct_mapping(node, deep)


def joined(prompt_format: PromptFormat, tokenizer: Tokenizer) -> PromptFormat:
    """A format whose prompt is written as one string, cut before the document so that its ids stay the string's.

    Raises ContractError where no cut is exact.
    """
    forms = (prompt_format.prompt, prompt_format.prompt_without_instruction)
    cut, cut_without = (_cut(form, tokenizer) for form in forms)
    return replace(prompt_format, prompt=cut, prompt_without_instruction=cut_without)


def _cut(form: Pieces, tokenizer: Tokenizer) -> Pieces:
    if len(form) != 1:
        return form
    pieces = cut_before_document(form[0], tokenizer)
    check_joined(pieces, tokenizer, form[0])
    return pieces
