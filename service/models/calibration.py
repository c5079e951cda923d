"""Temperatures that `limrank-eval calibrate` fitted, given to a served model (`--calibration FILE`)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from contract.checkpoint.manifest import Manifest
from contract.files import at_home
from service.errors import ModelStoreError
from service.models.checkpoint import Checkpoint


def calibrated(checkpoint: Checkpoint, files: Sequence[str]) -> Checkpoint:
    """The checkpoint with the temperatures of `calibration.json` files, one for each mode.

    Raises ModelStoreError for a file that was measured with another model, and for a model whose score no temperature
    changes.
    """
    manifest = checkpoint.manifest
    if files and manifest.format is not None and manifest.format.grades:
        raise ModelStoreError(
            f"{checkpoint.name} gives grades, to which no temperature applies; leave --calibration out."
        )
    for file in files:
        mode, value = _read(at_home(file), checkpoint.manifest)
        manifest = _with(manifest, mode, value)
    return replace(checkpoint, manifest=manifest)


def _read(path: Path, manifest: Manifest) -> tuple[str, float]:
    """The mode and the fitted temperature."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        identity, fitted = found["identity"], found["temperature"]
        mode, fingerprint = identity["mode"], identity["fingerprint"]
        value = None if fitted is None else float(fitted["value"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ModelStoreError(f"--calibration {path} is no calibration.json of limrank-eval: {error!r}.") from error
    if value is None or not 0 < value < math.inf:
        raise ModelStoreError(
            f"--calibration {path} has no fitted temperature; run limrank-eval calibrate with --fit-split."
        )
    if fingerprint != manifest.fingerprint:
        raise ModelStoreError(
            f"--calibration {path} was measured with the model of fingerprint {str(fingerprint)[:12]}..., and this one "
            f"has {manifest.fingerprint[:12]}...; measure this one, as it is served without --calibration."
        )
    return str(mode), value


def _with(manifest: Manifest, mode: str, fitted: float) -> Manifest:
    """The fitted temperature divides log-odds as they were served, so it multiplies the manifest's."""
    now = manifest.temperatures
    if mode == "reasoning":
        return replace(manifest, reasoning_temperature=now.reasoning * fitted)
    return replace(manifest, temperature=now.direct * fitted, reasoning_temperature=_kept(manifest, now.reasoning))


def _kept(manifest: Manifest, reasoning: float) -> float | None:
    """A temperature of reasoning that was that of direct mode stays what it was, where there is reasoning."""
    able = manifest.format is not None and manifest.format.reasons
    return manifest.reasoning_temperature if not able else reasoning
