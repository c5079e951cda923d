"""Files of a dataset on the Hugging Face hub whose values `datasets` would change.

`datasets` reads CSV files with pandas, which turns `NA` into a missing value and `007` into 7, and JSON files with
Arrow, which turns `2024-01-02` into a timestamp. It is therefore used only to find and fetch files of these kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TEXT_KINDS = ("csv", "json")


@dataclass(frozen=True, slots=True)
class TextFiles:
    """Local files of one split. `kind` is "csv", with `delimiter` between its fields, or "json"."""

    kind: str
    paths: Sequence[Path]
    delimiter: str = ","


def text_files(hub: str, config: str, split: str) -> TextFiles | None:
    """Returns the files of a split, fetched; None for another kind of file. Raises as `datasets.load_dataset` does."""
    import datasets  # takes seconds to import

    builder: Any = datasets.load_dataset_builder(hub, config)
    files = (builder.config.data_files or {}).get(split)
    if builder.name not in _TEXT_KINDS or not files or getattr(builder.config, "field", None):
        return None
    unpacked = datasets.DownloadManager().extract([_fetched(str(file)) for file in files])
    return TextFiles(builder.name, [Path(path) for path in unpacked], getattr(builder.config, "sep", None) or ",")


def cached_folder(hub: str) -> Path | None:
    """Returns the folder of previously fetched files, for use when the hub is unreachable; None without one."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub, repo_type="dataset", local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _fetched(file: str) -> str:
    """The local path of a file. It is requested by branch, so that the cache can be read without the hub."""
    from huggingface_hub import HfFileSystem, hf_hub_download

    if not file.startswith("hf://"):
        return file
    place: Any = HfFileSystem().resolve_path(file)
    return hf_hub_download(place.repo_id, place.path_in_repo, repo_type="dataset")
