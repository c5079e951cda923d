"""Reads a format from a manifest or a format file. Every error is a sentence that names the field."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args

from contract.formats.labels import InstructionPlace, Labels
from contract.formats.named import NAMED_FORMATS
from contract.formats.prompt_format import PromptFormat, WordsAs, labelled
from contract.formats.template import SLOTS
from contract.formats.tokenizer import ContractError

_FIELDS = tuple(item.name for item in fields(PromptFormat) if item.name != "labels")
_LABELS = frozenset(item.name for item in fields(Labels))
_TEXTS = ("name", "default_instruction", "open", "close", "answer")
_TEXT_LISTS = ("prompt", "prompt_without_instruction", "true_words", "false_words", "special", "delimiters")
_BRACES = re.compile(r"\{([A-Za-z_]\w*)\}")


def format_from_json(value: Any, where: str) -> PromptFormat:
    """A format given by its name, by the fields of `PromptFormat`, or by the labels of version 1 manifests.

    Errors name `where`. Raises ContractError.
    """
    if isinstance(value, str):
        return named_format(value, where)
    if not isinstance(value, Mapping):
        raise ContractError(f"{where} must be the name of a format or an object of its fields, not {value!r}.")
    if "preamble" in value:
        return _from_labels(value, where)
    _check_fields(value, where)
    stated = {name: _value(name, item, where) for name, item in value.items()}
    try:
        return PromptFormat(**stated)
    except ContractError as error:
        raise ContractError(f"{where}: {error}") from None


def named_format(name: str, where: str) -> PromptFormat:
    """Raises ContractError for an unknown name."""
    if name not in NAMED_FORMATS:
        raise ContractError(f"{where}: there is no format {name!r}; known are {', '.join(sorted(NAMED_FORMATS))}.")
    return NAMED_FORMATS[name]


def _from_labels(value: Mapping[str, Any], where: str) -> PromptFormat:
    if set(value) != _LABELS or not all(isinstance(text, str) for text in value.values()):
        raise ContractError(f"{where}: format must be a name or an object of the texts {', '.join(sorted(_LABELS))}.")
    if value["instruction_place"] not in get_args(InstructionPlace):
        raise ContractError(f"{where}: instruction_place is {value['instruction_place']!r}, not query or preamble.")
    return labelled(**value)


def _check_fields(value: Mapping[str, Any], where: str) -> None:
    for name in value:
        if name not in _FIELDS:
            near = difflib.get_close_matches(str(name), _FIELDS, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else f"; a format has {', '.join(_FIELDS)}."
            raise ContractError(f"{where} has an unknown field {name!r}{meant}")
    if missing := [name for name in ("name", "prompt") if name not in value]:
        raise ContractError(f"{where} has no {missing[0]}; write it, see docs/formats.md.")


def _value(name: str, value: Any, where: str) -> Any:
    if name in _TEXTS:
        return _text(name, value, where)
    if name in _TEXT_LISTS:
        return _texts(name, value, where)
    if name in ("scale", "offset"):
        return _number(name, value, where)
    if name == "grades":
        return _grades(value, where)
    if name == "guard_added":
        if not isinstance(value, bool):
            raise ContractError(f"{where}: guard_added is {value!r}; write true or false.")
        return value
    if value not in get_args(WordsAs):
        raise ContractError(f"{where}: words_as is {value!r}, not {' or '.join(get_args(WordsAs))}.")
    return value


def _text(name: str, value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise ContractError(
            f"{where}: {name} is {value!r}; it must be a text (in quotes where it looks like a number, or is yes, "
            "no, on, off, true or false)."
        )
    return value


def _texts(name: str, value: Any, where: str) -> tuple[str, ...]:
    """A list of strings, or a single string."""
    values = value if isinstance(value, list | tuple) else [value]
    texts = tuple(_text(name, item, where) for item in values)
    if not texts and name not in ("special", "delimiters"):
        raise ContractError(f"{where}: {name} is empty; leave it out, or write at least one text.")
    if name.startswith("prompt"):
        unknown = [found for text in texts for found in _BRACES.findall(text) if found not in SLOTS]
        if unknown:
            raise ContractError(
                f"{where}: {name} holds {{{unknown[0]}}}, which is no slot; the slots are "
                f"{', '.join(f'{{{slot}}}' for slot in SLOTS)}."
            )
    return texts


def _number(name: str, value: Any, where: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ContractError(f"{where}: {name} is {repr(value)[:40]}; it must be a number.")
    return number


def _grades(value: Any, where: str) -> tuple[tuple[str, float], ...]:
    """An object {text: value}, or a list of [text, value] pairs."""
    pairs = list(value.items()) if isinstance(value, Mapping) else value
    if not isinstance(pairs, list | tuple) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs
    ):
        raise ContractError(f'{where}: grades must be an object of texts and their values, such as {{"0": 0, "1": 1}}.')
    return tuple(
        (_text("a grade", text, where), _number(f"the grade {text!r}", number, where)) for text, number in pairs
    )
