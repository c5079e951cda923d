"""The files in a folder and what can be read in them: names, headers, keys, columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.interface.keypaths import key_paths

# Their content is other libraries' affair.
_FOREIGN = (
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)


def folder_pins(root: Path, told: str, wanted: Callable[[str], bool] = lambda name: True) -> set[str]:
    """Pins of all files below `root`, each beginning with `told` and the file's path; `wanted` chooses paths."""
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    named = ((path, path.relative_to(root).as_posix()) for path in paths)
    return {pin for path, name in named if wanted(name) for pin in _file_pins(path, f"{told}: {name}")}


def _file_pins(path: Path, told: str) -> Iterator[str]:
    yield told
    if path.name in _FOREIGN:
        return
    if path.suffix == ".json":
        yield from (f"{told} {key}" for key in key_paths(json.loads(path.read_text(encoding="utf-8"))))
    elif path.suffix == ".jsonl":
        yield from _lines(path, told)
    elif path.suffix == ".tsv":
        head = path.read_text(encoding="utf-8").splitlines()[0]
        yield from (f"{told} column {name}" for name in head.split("\t"))


def _lines(path: Path, told: str) -> Iterator[str]:
    """The keys of the lines; of a header with a format its format and version too."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        if number == 0 and "format" in row:
            yield f"{told} header {row['format']} {row.get('version')}"
            yield from (f"{told} header {key}" for key in key_paths(row))
        else:
            yield from (f"{told} {key}" for key in key_paths(row))
