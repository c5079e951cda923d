"""The manifest of an adapter or of embedded weights, whose tokenizer is in another folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from contract.checkpoint.manifest import (
    FILE_NAME,
    Manifest,
    ManifestError,
    check_config,
    read_adapter_manifest,
    tokenizer_sha256,
)
from contract.checkpoint.model_config import CONFIG, ConfigError, config_of
from trainer.errors import BadBase, BadRunFolder


def read_packaged(folder: Path) -> Manifest:
    """The manifest in a folder without a tokenizer. Raises BadRunFolder when it is missing or was changed."""
    try:
        return read_adapter_manifest(folder)
    except ManifestError as error:
        raise BadRunFolder(str(error)) from error


def read_adapter(adapter: Path, base: Path) -> Manifest:
    """The manifest of an adapter, which must match the base's tokenizer and configuration. Raises BadBase or
    BadRunFolder."""
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
    try:
        check_config(manifest, base, str(adapter / FILE_NAME))
    except ManifestError as error:
        raise BadBase(f"The adapter {adapter} does not fit its base: {error}") from error
    return manifest


def restated(manifest: Manifest, folder: Path) -> Manifest:
    """The manifest for the merged model with its configuration in `folder`: it covers that configuration, and no
    adapter. Raises BadBase."""
    try:
        return replace(manifest, config=config_of(folder), adapter=None)
    except ConfigError as error:
        raise BadBase(str(error)) from error


def in_this_version(manifest: Manifest, folder: Path) -> Manifest:
    """Converts a version 1 manifest to version 2 if its folder holds the complete model; otherwise returns it
    unchanged."""
    whole = manifest.config is None and (folder / CONFIG).is_file()
    return restated(manifest, folder) if whole else manifest
