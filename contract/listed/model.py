"""list.json: what the folder of a setwise or listwise model, or of its adapter, states beside the weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from contract.files import write_text
from contract.listed.rows import ListKind

FILE_NAME = "list.json"
_FORMAT, _VERSION = "limrank.list-model", 1


class ListModelError(ValueError):
    """A list.json that is missing or does not say what it must."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListModel:
    """`window`: the most passages in a row of the training. `tokens`: the longest sequence of the training, with its
    answer. `tokenizer_sha256` is that of the base's tokenizer.json."""

    kind: ListKind
    window: int
    tokens: int
    base: str
    tokenizer_sha256: str
    data_sha256: str
    licences: tuple[str, ...]
    recipe: str

    def write(self, folder: Path) -> None:
        """Writes the file. Raises OSError."""
        text = json.dumps({"format": _FORMAT, "version": _VERSION, **asdict(self)}, indent=2, ensure_ascii=False)
        write_text(folder / FILE_NAME, text + "\n")


def is_list_model(folder: Path) -> bool:
    """Whether the folder holds a setwise or listwise model or adapter."""
    return (folder / FILE_NAME).is_file()


def read_list_model(folder: Path) -> ListModel:
    """What the folder's list.json states. Raises ListModelError."""
    path = folder / FILE_NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ListModelError(f"{path} cannot be read: {error.strerror or error}.") from None
    except ValueError as error:
        raise ListModelError(f"{path} is no JSON ({error}).") from None
    names = {field.name for field in fields(ListModel)}
    if not isinstance(found, dict) or found.pop("format", None) != _FORMAT or found.pop("version", None) != _VERSION:
        raise ListModelError(f"{path} is not of the format {_FORMAT}, version {_VERSION}.")
    if found.keys() != names or found["kind"] not in set(ListKind):
        raise ListModelError(f"{path} does not state {', '.join(sorted(names))}.")
    if not all(type(found[name]) is int and found[name] > 1 for name in ("window", "tokens")):
        raise ListModelError(f"{path} must state 'window' and 'tokens' as numbers above 1.")
    return ListModel(**{**found, "kind": ListKind(found["kind"]), "licences": tuple(found["licences"])})
