"""`limrank-train package`: copies a trained model into the distribution, if its licence allows and it is the best so
far."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from contract.checkpoint.manifest import FILE_NAME, Manifest
from contract.verdict import Temperatures
from trainer.cross_encoder.checkpoint import write_small
from trainer.errors import BadRunFolder
from trainer.run.dev_score import DEV
from trainer.run.folder import save_whole, writing
from trainer.run.manifests import read_packaged
from trainer.settings import UNKNOWN, Package
from trainer.sft.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS

_UNFITTED = Temperatures(1.0, 1.0)
_MOST_BYTES = {"causal": 20_000_000, "cross-encoder": 22_500_000}


def package(settings: Package) -> None:
    """Copies the result of a run into `settings.weights`/`settings.name`. Raises BadRunFolder when it must not be
    packaged: its data is non-commercial, it is too large, or its dev score is not better than that of the packaged
    model."""
    source = next((settings.folder / name for name in ("adapter", "model") if (settings.folder / name).is_dir()), None)
    if source is None:
        raise BadRunFolder(f"{settings.folder} has neither adapter nor model; finish a leg first.")
    manifest, target = read_packaged(source), settings.weights / settings.name
    if manifest.non_commercial:
        raise BadRunFolder(
            f"{source} is derived from data under {', '.join(manifest.licences)}; what ships must allow commercial use."
        )
    stood = _same_result(target, manifest)
    if stood is not None:
        if manifest.temperatures in (stood.temperatures, _UNFITTED):
            print(f"{target} holds the result of {settings.folder} already.")  # noqa: T201
            return
        with writing(target):
            manifest.write(target)
        print(f"{target} holds the result of {settings.folder} already; its temperatures are new.")  # noqa: T201
        return
    if not manifest.licences or UNKNOWN in manifest.licences:
        raise BadRunFolder(f"{source} does not say what it is under; train with --base-licence, on records that do.")
    if not settings.even_if_worse:
        _check_better(manifest, target, settings.folder)
    save_whole(target, lambda part: _fill(part, source, manifest))
    print(f"{target} now holds the result of {settings.folder}, {DEV} {_score(manifest)}.")  # noqa: T201


def _same_result(target: Path, manifest: Manifest) -> Manifest | None:
    """The manifest in `target` if it describes the same result: equal except for the temperatures, which may have been
    fitted since, there or in the run."""
    if not (target / FILE_NAME).exists():
        return None
    stood = read_packaged(target)
    fitted = replace(manifest, temperature=stood.temperature, reasoning_temperature=stood.reasoning_temperature)
    return stood if fitted == stood else None


def _fill(folder: Path, source: Path, manifest: Manifest) -> None:
    if manifest.kind == "cross-encoder":
        write_small(folder, source)
    else:
        for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS, FILE_NAME):
            shutil.copyfile(source / name, folder / name)
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > _MOST_BYTES[manifest.kind]:
        raise BadRunFolder(
            f"{source} takes {size:,} bytes in the package, more than the {_MOST_BYTES[manifest.kind]:,} it may; "
            "train with a lower rank."
        )


def _check_better(manifest: Manifest, target: Path, run: Path) -> None:
    """Raises BadRunFolder unless the result of `run` has a better dev score than the one in `target`, if any."""
    if not (target / FILE_NAME).exists():
        return
    now, before = _score(manifest), _score(read_packaged(target))
    if now is None:
        raise BadRunFolder(
            f"{run} has no {DEV}, so nobody knows whether it is better than what stands in {target}; train "
            "with --dev, or say --even-if-worse."
        )
    if before is not None and now <= before:
        raise BadRunFolder(
            f"{run} has {DEV} {now}, and what stands in {target} has {before}; it stays. "
            "--even-if-worse replaces it, as after a change of the dev sample."
        )


def _score(manifest: Manifest) -> float | None:
    found = manifest.scores.get(DEV)
    return float(found["score"]) if isinstance(found, Mapping) else None
