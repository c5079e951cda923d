"""The fields of reranker.json, each checked on its own. Errors name `where` and the field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from contract.formats.prompt_format import PromptFormat
from contract.formats.reading import format_from_json
from contract.formats.tokenizer import ContractError
from contract.verdict import VerdictTokens


class ManifestError(ValueError):
    """A manifest that cannot be read or does not belong to its checkpoint. The message states the remedy."""


def prompt_format(value: Any, where: str) -> PromptFormat | None:
    """The prompt format, or None for null. Raises ManifestError."""
    if value is None:
        return None
    try:
        return format_from_json(value, where)
    except ContractError as error:
        raise ManifestError(str(error)) from None


def verdict_tokens(value: Any, where: str) -> VerdictTokens | None:
    """The ids of both verdict words, or None for null. Raises ManifestError."""
    if value is None:
        return None
    ids = [value.get("true"), value.get("false")] if isinstance(value, dict) and set(value) == {"true", "false"} else []
    if not ids or not all(type(i) is int and i >= 0 for i in ids):
        raise ManifestError(f'{where}: verdict_tokens must be {{"true": id, "false": id}}.')
    return VerdictTokens(true=value["true"], false=value["false"])


def text(data: dict[str, Any], key: str, where: str) -> str:
    """A non-empty string. Raises ManifestError."""
    value = data.get(key)
    if not isinstance(value, str) or not value:
        raise ManifestError(f"{where}: {key} is {value!r}; it must be a text.")
    return value


def text_or_none(data: dict[str, Any], key: str, where: str) -> str | None:
    """A non-empty string, or None when absent or null. Raises ManifestError."""
    return None if data.get(key) is None else text(data, key, where)


def temperature(data: dict[str, Any], key: str, where: str) -> float | None:
    """A number above 0, or None when absent. Raises ManifestError."""
    if key not in data:
        return None
    value = data[key]
    number = _number(value)
    if not math.isfinite(number) or number <= 0:
        raise ManifestError(f"{where}: {key} is {str(value)[:40]}; it must be a number above 0.")
    return number


def _number(value: Any) -> float:
    """The value as a float; NaN for anything that is not a number or does not fit."""
    try:
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return math.nan


def licences(value: Any, where: str) -> tuple[str, ...]:
    """A list of strings. Raises ManifestError."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ManifestError(f"{where}: licences must be a list of texts.")
    return tuple(value)


def scores(value: Any, where: str) -> Mapping[str, Any]:
    """An object. Raises ManifestError."""
    if not isinstance(value, dict):
        raise ManifestError(f"{where}: scores must be an object.")
    return value
