"""`limrank-train calibrate`: writes the temperatures fitted by limrank-eval into a model's manifest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from contract.checkpoint.cross_encoder_files import MODULES, write_cross_encoder_files
from contract.checkpoint.manifest import FILE_NAME, Manifest
from trainer.errors import BadData
from trainer.run.folder import writing
from trainer.run.manifests import in_this_version, read_packaged
from trainer.settings import Calibration

_DIGITS = 4


def calibrate(settings: Calibration) -> None:
    """Rewrites the manifest of `settings.weights` with the fitted temperatures. Raises BadData when a result has none
    or was measured with another model (which this one becomes once it has them), BadRunFolder without a manifest."""
    before = read_packaged(settings.weights)
    after = before
    for path in settings.results:
        after = _with(after, *_read(path, before))
    with writing(settings.weights):
        in_this_version(after, settings.weights).write(settings.weights)
        if (settings.weights / MODULES).is_file():  # a complete cross-encoder, which Sentence Transformers loads too
            write_cross_encoder_files(settings.weights, after.temperature)
    now = after.temperatures
    print(  # noqa: T201
        f"{settings.weights / FILE_NAME} now divides log-odds by {now.direct}, and behind a trace by {now.reasoning}."
    )


def _read(path: Path, manifest: Manifest) -> tuple[str, float]:
    """The mode and the fitted temperature."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        identity, fitted = found["identity"], found["temperature"]
        mode, fingerprint, data = identity["mode"], identity["fingerprint"], identity["data_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadData(f"{path} is no calibration.json of limrank-eval: {error!r}.") from error
    if fitted is None:
        raise BadData(f"{path} has no fitted temperature; run limrank-eval calibrate with --fit-split train.")
    if fingerprint != manifest.fingerprint:
        raise BadData(
            f"{path} was measured with the model of fingerprint {str(fingerprint)[:12]}..., and this one has "
            f"{manifest.fingerprint[:12]}...; measure this one."
        )
    if data != manifest.data_sha256:
        raise BadData(
            f"{path} was measured with a model trained on the data of sha256 {str(data)[:12]}..., and this one was "
            f"trained on {str(manifest.data_sha256)[:12]}...; measure this one."
        )
    return mode, float(fitted["value"])


def _with(manifest: Manifest, mode: str, fitted: float) -> Manifest:
    """The fitted temperature divides log-odds as they were served, so it multiplies the temperature in the manifest."""
    now = manifest.temperatures
    if mode == "reasoning":
        return replace(manifest, reasoning_temperature=round(now.reasoning * fitted, _DIGITS))
    # Stated explicitly, because without its own temperature reasoning would follow that of direct mode.
    kept = now.reasoning if manifest.kind == "causal" else None
    return replace(manifest, temperature=round(now.direct * fitted, _DIGITS), reasoning_temperature=kept)
