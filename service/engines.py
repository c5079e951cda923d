"""Chooses and builds the engine for a checkpoint. The libraries of an engine are imported only when it is chosen."""

from __future__ import annotations

from service.checkpoint import Checkpoint, ModelStoreError
from service.engine import Engine
from service.settings import Settings


def build_engine(settings: Settings, checkpoint: Checkpoint) -> Engine:
    """Load the checkpoint into the engine that `settings.engine` names. Blocks; takes seconds to minutes.

    Raise ModelStoreError with a sentence when this checkpoint and this engine do not go together.
    """
    if settings.engine not in ("auto", "transformers"):
        raise ModelStoreError(f"The engine {settings.engine!r} is not part of this version; use transformers.")
    if checkpoint.manifest.kind != "causal":
        raise ModelStoreError(
            f"{checkpoint.name} is a {checkpoint.manifest.kind}; this version serves causal models only."
        )
    from service.transformers_engine import TransformersEngine

    return TransformersEngine.load(checkpoint, dtype=settings.dtype, threads=settings.threads)
