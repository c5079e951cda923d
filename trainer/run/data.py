"""Reads a training file and chooses examples from it; shared by training on records and on groups."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, TypeVar

from contract.about import AboutError, stated_cost
from contract.records import RecordError, licence_parts
from retrieval import id_files
from trainer.errors import BadData


class Example(Protocol):
    """A record or a group: the fields that the choice depends on."""

    @property
    def id(self) -> str: ...
    @property
    def domain(self) -> str: ...
    @property
    def source(self) -> str: ...


AnyExample = TypeVar("AnyExample", bound=Example)


def choose(
    path: Path,
    read: Callable[[Path], Iterable[AnyExample]],
    *,
    unit: str,
    sample: int | None,
    leave_out: str | None,
    excluded: frozenset[str],
    seed: int,
) -> list[AnyExample]:
    """The chosen examples of a file, in an order determined by the seed; a larger sample contains every smaller one.

    `sample` None: all. `leave_out` is a domain, a source, or an id prefix. `excluded` are ids, as `names_any` matches
    them. `unit` names an example in errors. Raises BadData for a file that cannot be read, that has too few examples,
    or of which nothing is left.
    """
    try:
        examples = kept(read(path), path, leave_out, excluded)
    except RecordError as error:
        raise BadData(str(error)) from None
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror or error}.") from None
    examples.sort(key=lambda example: draw(example.id, seed))
    chosen = examples[:sample]
    if not chosen:
        raise BadData(f"{path} has no {unit} left to train on; check the sample, the exclusions and the file.")
    if sample is not None and len(chosen) < sample:
        raise BadData(f"{path} has {len(chosen)} usable {unit}s, fewer than the {sample} of --sample.")
    return chosen


def kept(
    examples: Iterable[AnyExample], path: Path, leave_out: str | None, excluded: frozenset[str]
) -> list[AnyExample]:
    """The examples that are neither left out nor excluded.

    `leave_out` is a domain or source or, if the file has none of that name, an id prefix. Raises BadData when it
    matches nothing.
    """
    found = list(examples)
    if leave_out is not None:
        left = [example for example in found if leave_out not in (example.domain, example.source)]
        if len(left) == len(found):
            left = [example for example in found if not example.id.startswith(leave_out)]
        if len(left) == len(found):
            raise BadData(f"{path} has no domain, no source and no beginning of an id {leave_out!r} to leave out.")
        found = left
    return [example for example in found if not names_any(example.id, excluded)]


def names_any(identity: str, excluded: frozenset[str]) -> bool:
    """Whether a part of an id is one of the excluded ids. Parts are separated by /; those of queries begin with q-."""
    return any(part in excluded or part.removeprefix("q-") in excluded for part in identity.split("/"))


def draw(identity: str, seed: int) -> str:
    """A hexadecimal hash that determines what is drawn, the same in every process and on every machine."""
    return hashlib.sha256(f"{seed}/{identity}".encode()).hexdigest()


def read_ids(path: Path | None) -> frozenset[str]:
    """The ids in a file, one per line; none without a file. Raises BadData when it cannot be read."""
    return id_files.read_ids(path)


def licences(expressions: Iterable[str]) -> tuple[str, ...]:
    """Every licence that the expressions name, sorted, without duplicates."""
    return tuple(sorted({part for expression in set(expressions) for part in licence_parts(expression)}))


def data_cost(path: Path) -> float:
    """The cost stated in the sidecar of a training file; 0 without one. Raises BadData when it is not a number."""
    try:
        return stated_cost(path)
    except AboutError as error:
        raise BadData(str(error)) from None
