"""Downloads a model from the Hugging Face hub into the hub's own cache. The only importer of huggingface_hub.

The library's own variables apply: HF_HOME, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

from httpx2 import HTTPError  # the HTTP library of huggingface_hub 2, which does not wrap its errors
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)
from tqdm import tqdm

from cli.progress import Progress, progress
from service.errors import ModelStoreError

_SETTINGS = ["*.json", "*.jinja", "*.txt", "*.model"]
_FILES = [*_SETTINGS, "*.safetensors"]
_NEVER = 1e9  # seconds between drawings
_OTHER_FORMS = ["original/*", "onnx/*", "openvino/*"]  # the same weights once more, for other programs


def download(model: str, revision: str | None = None, *, weights: bool = True) -> Path:
    """Returns the folder of a hub model at `revision` (default: its main branch); the folder's name is the commit.
    `weights` False: without its weights.

    Files that are present are not fetched again, and HF_HUB_OFFLINE=1 prevents any request. Raises ModelStoreError.
    """
    patterns = _FILES if weights else _SETTINGS
    try:
        with progress("downloading_model", unit="bytes") as shown:
            return Path(
                snapshot_download(
                    model,
                    revision=revision,
                    allow_patterns=patterns,
                    ignore_patterns=_OTHER_FORMS,
                    tqdm_class=_told_to(shown),
                )
            )
    except (OSError, ValueError, HTTPError, RevisionResolutionError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise ModelStoreError(f"Model {model!r}{at} cannot be had from the hub: {_reason(error)}") from error


def _told_to(shown: Progress) -> Any:
    """Returns a class of bars that draw nothing: the one that counts the bytes written tells `shown` of them."""

    class Silent(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **settings: Any) -> None:
            self._counts = str(settings.get("desc", "")).startswith("Reconstructing")
            super().__init__(*args, **{**settings, "file": StringIO(), "mininterval": _NEVER})

        def update(self, n: float | None = 1) -> None:
            super().update(n)
            self._tell()

        def refresh(self, *args: Any, **settings: Any) -> None:
            self._tell()

        def _tell(self) -> None:
            if self._counts:
                shown.done, shown.total = self.n, self.total or None

    return Silent


def _reason(error: Exception) -> str:
    match error:
        case GatedRepoError():
            return "its owner gives access on request; accept the terms there and set HF_TOKEN."
        case RepositoryNotFoundError():
            return "there is no such model, or it is private; correct LIMRANK_MODEL, or set HF_TOKEN."
        case RevisionNotFoundError():
            return "it has no such revision; correct LIMRANK_MODEL_REVISION."
        case LocalEntryNotFoundError():
            return (
                "it is not in the local cache and the hub was not reached (HF_HUB_OFFLINE is set, or there is no "
                "network); fetch it once with a network, or name a local folder."
            )
        case _:
            return f"{(str(error).splitlines() or [type(error).__name__])[0]}"
