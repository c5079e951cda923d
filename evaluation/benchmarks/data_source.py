"""Rows of a dataset, from the Hugging Face hub or from a local folder with the hub's layout.

A folder is one that `hf download --repo-type dataset` makes, or one of the same layout by hand: for a configuration
and a split `CONFIG/SPLIT-*.parquet`, `CONFIG/SPLIT.parquet` (or .jsonl, .json, .csv), `CONFIG.csv` and so on. Values
of CSV and JSON files are taken as they are written: no text becomes a date, a number or a missing value.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from evaluation.benchmarks.hub import cached_folder, text_files
from evaluation.benchmarks.rows import DataRow
from evaluation.errors import BadData, NotAvailable
from retrieval.encoding import check_encoding
from retrieval.json_rows import read_rows

KINDS = ("parquet", "jsonl", "json", "csv", "tsv")
LONGEST_FIELD = 1 << 28  # characters in one field of a CSV file


@dataclass(frozen=True, slots=True)
class DataSource:
    """`hub` is the dataset's id; a `folder` is read instead if given."""

    hub: str
    folder: Path | None = None

    @property
    def name(self) -> str:
        """The name stated in protocols."""
        return self.hub if self.folder is None else f"{self.hub} (local copy)"

    def rows(self, config: str, split: str, columns: Sequence[str], *, unique: str | None = None) -> Iterator[DataRow]:
        """The rows of one split, each with `columns`. `unique` is an id column without duplicates.

        Raises `NotAvailable` when the data cannot be obtained, `BadData` for an unusable row.
        """
        seen: set[str] = set()
        for row in _hub_rows(self.hub, config, split) if self.folder is None else self._folder_rows(config, split):
            row.check(columns)
            if unique is not None:
                if row.id(unique) in seen:
                    raise row.repeated(unique)
                seen.add(row.id(unique))
            yield row

    def _folder_rows(self, config: str, split: str) -> Iterator[DataRow]:
        assert self.folder is not None
        files = local_files(self.folder, config, split)
        if not files:
            raise NotAvailable(
                f"{self.folder} has no {config}/{split}-*.parquet or the like; it should hold {self.hub}."
            )
        for file in files:
            yield from _READERS[file.suffix.lstrip(".")](file)


def local_files(folder: Path, config: str, split: str) -> list[Path]:
    """The files of one split in a folder with the hub's layout; all have the same type."""
    for start in (f"{config}/{split}", f"data/{config}", f"data/{split}", config):
        for kind in KINDS:
            single, several = folder / f"{start}.{kind}", sorted(folder.glob(f"{start}-*.{kind}"))
            if several or single.is_file():
                return several or [single]
    return []


def _parquet_rows(file: Path) -> Iterator[DataRow]:
    # Imported here: it takes seconds, and most benchmarks are plain files.
    import datasets  # no types

    try:
        rows = datasets.load_dataset("parquet", data_files={"rows": [str(file)]}, split="rows", streaming=True)
        for number, row in enumerate(rows, start=1):
            yield DataRow(f"{file}, row {number}", row)
    except (OSError, ValueError) as error:
        raise BadData(f"{file} cannot be read as parquet ({_first_line(error)}).") from error


def _json_rows(file: Path) -> Iterator[DataRow]:
    for row in read_rows(file):
        place = f"{file}, row {row.number}"
        if row.value is None:
            raise BadData(f"{place}: {row.problem}")
        yield DataRow(place, row.value)


def _csv_rows(file: Path, delimiter: str = ",") -> Iterator[DataRow]:
    csv.field_size_limit(LONGEST_FIELD)
    try:
        check_encoding(file)
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.reader(opened, delimiter=delimiter, strict=True)
            names = next(reader, [])
            if repeated := [name for name in names if names.count(name) > 1]:
                raise BadData(f"{file}, line 1 names the column {repeated[0]!r} twice; names must differ.")
            for values in reader:
                if not values:
                    continue  # a blank line
                if len(values) != len(names):
                    raise BadData(
                        f"{file}, line {reader.line_num}: {len(values)} fields; the first line names {len(names)}."
                    )
                yield DataRow(f"{file}, line {reader.line_num}", dict(zip(names, values, strict=True)))
    except csv.Error as error:
        raise BadData(f"{file}, line {reader.line_num}: not readable as CSV ({error}).") from None
    except UnicodeDecodeError as error:
        raise BadData(f"{file} is not UTF-8 ({error.reason} behind line {reader.line_num}); convert it.") from None
    except OSError as error:
        raise BadData(f"{file} cannot be read ({error.strerror}).") from None


_READERS: Mapping[str, Callable[[Path], Iterator[DataRow]]] = {
    "parquet": _parquet_rows,
    "jsonl": _json_rows,
    "json": _json_rows,
    "csv": _csv_rows,
    "tsv": partial(_csv_rows, delimiter="\t"),
}


def _hub_rows(hub: str, config: str, split: str) -> Iterator[DataRow]:
    import datasets
    import httpx2  # HTTP library of the hub's client, which does not wrap its errors

    try:
        written = text_files(hub, config, split)
        loaded = None if written else datasets.load_dataset(hub, config, split=split)
    except (OSError, ValueError, httpx2.HTTPError) as error:
        folder = cached_folder(hub)
        if folder is not None and local_files(folder, config, split):
            yield from DataSource(hub, folder)._folder_rows(config, split)
            return
        raise NotAvailable(
            f"{hub} ({config}/{split}) could not be loaded from the hub: {_first_line(error)}"
        ) from error
    if written is not None:
        read = partial(_csv_rows, delimiter=written.delimiter) if written.kind == "csv" else _json_rows
        for path in written.paths:
            yield from read(path)
    for number, row in enumerate(loaded or (), start=1):
        yield DataRow(f"{hub}, {config}/{split}, row {number}", row)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
