"""Finds a checkpoint by name: an embedded model, a local folder, or a model on the Hugging Face hub."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from contract.checkpoint.packaged import WEIGHTS
from contract.files import standing
from contract.formats.model_names import known_hub_id
from service.errors import ModelStoreError
from service.models import embedded, embedded_cross_encoder
from service.models.cache import HeldFolder, default_cache_dir
from service.models.checkpoint import Checkpoint, open_checkpoint
from service.models.hub import download

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}")  # the hub's own limit is 96
_LONGEST_NAME_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Location:
    """A model's folder and the name it is served under. `held`: see `Checkpoint`."""

    folder: Path
    name: str
    revision: str | None = None
    on_hub: bool = False
    held: HeldFolder | None = None

    def open(self, prompt_format: str | None = None, *, weights: bool = True) -> Checkpoint:
        """See `open_checkpoint`."""
        found = open_checkpoint(self.folder, self.name, self.revision, prompt_format, weights=weights)
        return replace(found, held=self.held)


def resolve(
    model: str | None = None,
    *,
    revision: str | None = None,
    cache_dir: Path | None = None,
    prompt_format: str | None = None,
    weights: Path = WEIGHTS,
    gguf: Path | None = None,
) -> Checkpoint:
    """Returns the checkpoint named `model` (an embedded model, a folder or a hub id), checked and on this disk.

    None means the embedded default. A folder takes precedence over a hub id of the same spelling. `revision` is a
    branch, tag or commit, for hub ids only; `prompt_format`: see
    `open_checkpoint`. The embedded model is converted into `cache_dir`. `weights` (a folder of adapters) and `gguf`
    replace those of the installed packages. Raises ModelStoreError.
    """
    return locate(model, revision=revision, cache_dir=cache_dir, weights=weights, gguf=gguf, fetch=True).open(
        prompt_format
    )


def locate(
    model: str | None = None,
    *,
    revision: str | None = None,
    cache_dir: Path | None = None,
    weights: Path = WEIGHTS,
    gguf: Path | None = None,
    fetch: bool = False,
) -> Location:
    """Where the model of `resolve` lies, before anything in it is checked. `fetch`: with its weights, also those of a
    model on a hub. Raises ModelStoreError."""
    model = model or embedded.default_name(weights)
    adapters = embedded.adapters(weights)
    encoders = embedded_cross_encoder.cross_encoders(weights)
    packaged = model == embedded.BASE_NAME or model in adapters or model in encoders
    folder = None if packaged else standing(model)
    on_hub = not packaged and folder is None and _HUB_ID.fullmatch(model) is not None
    if revision is not None and not on_hub:
        raise ModelStoreError(
            f"Model {_short(model)!r} does not come from the hub, so it has no revision {revision!r}."
        )
    if packaged:
        cache = cache_dir or default_cache_dir()
        if model in encoders:
            held = embedded_cross_encoder.prepare(embedded_cross_encoder.packaged_encoder(), cache, encoders[model])
        else:
            held = embedded.prepare(gguf or embedded.packaged_gguf(), cache, adapters.get(model))
        return Location(held.path, model, held=held)
    if on_hub:
        fetched = download(model, revision, weights=fetch)
        return Location(fetched, model, revision=fetched.name, on_hub=True)
    return _local(model, folder, sorted({embedded.BASE_NAME, *adapters, *encoders}))


def _short(model: str) -> str:
    return model if len(model) <= _LONGEST_NAME_SHOWN else f"{model[:_LONGEST_NAME_SHOWN]}..."


def _local(model: str, folder: Path | None, packaged: list[str]) -> Location:
    if folder is None or not folder.is_dir():
        raise ModelStoreError(
            f"Model {_short(model)!r} is neither an embedded model ({', '.join(packaged)}), nor a folder, nor a hub id "
            "of the form owner/name; correct LIMRANK_MODEL."
        )
    folder = folder.resolve()
    hub_id = f"{folder.parent.name}/{folder.name}"  # public checkpoints are known by folders named like hub ids
    return Location(folder, hub_id if known_hub_id(hub_id) else folder.name)
