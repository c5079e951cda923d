"""The manifest of an adapter or of embedded weights, whose tokenizer is in another folder."""

from __future__ import annotations

import json
from pathlib import Path

from contract.manifest import FILE_NAME, Manifest, ManifestError, manifest_from_json, tokenizer_sha256
from trainer.errors import BadBase, BadRunFolder


def read_packaged(folder: Path) -> Manifest:
    """The manifest in a folder without a tokenizer. Raise BadRunFolder where it is missing or was changed."""
    path = folder / FILE_NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        manifest = manifest_from_json(data, str(path))
    except (OSError, ValueError, ManifestError) as error:
        raise BadRunFolder(f"{path} cannot be read: {error}") from error
    if data.get("fingerprint") != manifest.fingerprint:
        raise BadRunFolder(
            f"{path} was changed after it was made: its fingerprint does not fit; train or copy it again."
        )
    return manifest


def read_adapter(adapter: Path, base: Path) -> Manifest:
    """The manifest of an adapter, which must fit the base's tokenizer. Raise BadBase or BadRunFolder."""
    manifest = read_packaged(adapter)
    try:
        found = tokenizer_sha256(base)
    except OSError as error:
        raise BadBase(f"{base} has no tokenizer.json; correct --base.") from error
    if found != manifest.tokenizer_sha256:
        raise BadBase(
            f"{adapter} was trained with another tokenizer ({manifest.tokenizer_sha256[:12]}...) than that of {base} "
            f"({found[:12]}...); take the base it was trained on, {manifest.base}."
        )
    return manifest
