"""Rows of a dataset, from the Hugging Face hub or from a local folder laid out as on the hub.

A folder is one that `hf download --repo-type dataset` makes, or one of the same layout by hand: for a configuration
and a split `CONFIG/SPLIT-*.parquet`, `CONFIG/SPLIT.parquet` (or .jsonl, .json, .csv), `CONFIG.csv` and so on. The one
importer of `datasets` in the evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.errors import BadData, NotAvailable

READERS = {"parquet": "parquet", "jsonl": "json", "json": "json", "csv": "csv", "tsv": "csv"}


@dataclass(frozen=True, slots=True)
class DataSource:
    """`hub` is the dataset's id; `folder`, where given, is read instead."""

    hub: str
    folder: Path | None = None

    @property
    def name(self) -> str:
        """The name in a protocol."""
        return self.hub if self.folder is None else f"{self.hub} (local copy)"

    def rows(self, config: str, split: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The rows of one split, each with `columns`.

        Raises `NotAvailable` where the data cannot be had, `BadData` where a column is missing.
        """
        found = _hub_rows(self.hub, config, split) if self.folder is None else self._folder_rows(config, split)
        for row in found:
            if missing := [name for name in columns if name not in row]:
                raise BadData(
                    f"{self.name}, {config}/{split}: no column '{missing[0]}'; it has {', '.join(map(str, row))}."
                )
            yield row

    def _folder_rows(self, config: str, split: str) -> Iterator[dict[str, Any]]:
        assert self.folder is not None
        files = local_files(self.folder, config, split)
        if not files:
            raise NotAvailable(
                f"{self.folder} has no {config}/{split}-*.parquet or the like; it should hold {self.hub}."
            )
        kind = files[0].suffix.lstrip(".")
        yield from _read(kind, [str(file) for file in files])


def local_files(folder: Path, config: str, split: str) -> list[Path]:
    """The files of one split in a folder of the hub's layout; all of one kind."""
    for start in (f"{config}/{split}", f"data/{config}", f"data/{split}", config):
        for kind in READERS:
            single, several = folder / f"{start}.{kind}", sorted(folder.glob(f"{start}-*.{kind}"))
            if several or single.is_file():
                return several or [single]
    return []


def _read(kind: str, files: list[str]) -> Iterator[dict[str, Any]]:
    # Imported here, as it takes seconds and most benchmarks are plain files.
    import datasets  # it ships no types

    options = {"sep": "\t"} if kind == "tsv" else {}
    try:
        yield from datasets.load_dataset(
            READERS[kind], data_files={"rows": files}, split="rows", streaming=True, **options
        )
    except (OSError, ValueError) as error:
        raise BadData(f"{files[0]} cannot be read as {kind} ({_first_line(error)}).") from error


def _hub_rows(hub: str, config: str, split: str) -> Iterator[dict[str, Any]]:
    import datasets
    import httpx2  # what the client of the hub speaks HTTP with, and lets through

    try:
        found = datasets.load_dataset(hub, config, split=split)
    except (OSError, ValueError, httpx2.HTTPError) as error:
        raise NotAvailable(
            f"{hub} ({config}/{split}) could not be loaded from the hub: {_first_line(error)}"
        ) from error
    yield from found


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
