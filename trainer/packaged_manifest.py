"""The manifest of an adapter or of embedded weights: of a folder whose tokenizer stands elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

from contract.manifest import FILE_NAME, Manifest, ManifestError, manifest_from_json
from trainer.errors import BadRunFolder


def read_packaged(folder: Path) -> Manifest:
    """A manifest whose tokenizer stands elsewhere. Raise BadRunFolder."""
    path = folder / FILE_NAME
    try:
        return manifest_from_json(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError, ManifestError) as error:
        raise BadRunFolder(f"{path} cannot be read: {error}") from error
