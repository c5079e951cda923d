"""Describes the served model: the entries of `GET /v1/models` and the answer of `GET /info`."""

from __future__ import annotations

import platform
import time
from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from contract.adaptive.parameters import Gate
from contract.adaptive.reaching import Fitted
from service.engine import Capabilities
from service.models.checkpoint import Checkpoint
from service.planning import Defaults, available_modes
from service.ranking import ScoreKind
from service.scheduling.start_check import StartResult
from service.stages import model as staged
from service.strategies.choosing import NOT_FITTED
from service.wire.fields import closed
from service.wire.several.decisions import MEANING
from service.wire.shape import WireLimits


@closed
class Model(TypedDict):
    id: str
    object: str
    created: Annotated[int, Field(description="Seconds since 1970.")]
    owned_by: str
    max_model_len: int
    score_kind: Annotated[ScoreKind, Field(description="What a score of this model is.")]
    first_stage: NotRequired[Annotated[str, Field(description="Of a cascade: the model before this one.")]]


@closed
class ModelList(TypedDict):
    object: str
    data: list[Model]


def served_models(
    name: str,
    aliases: tuple[str, ...],
    max_model_tokens: int,
    score: ScoreKind = ScoreKind.OWN,
    first: str | None = None,
) -> list[Model]:
    """Returns the served name and its aliases as models that were created now; `*` is no name. `first`: the first stage
    of a cascade."""
    created = int(time.time())
    names = (name, *(alias for alias in aliases if alias not in (name, "*")))
    models: list[Model] = [
        {
            "id": each,
            "object": "model",
            "created": created,
            "owned_by": "limrank",
            "max_model_len": max_model_tokens,
            "score_kind": score,
        }
        for each in names
    ]
    if first is not None:
        for model in models:
            model["first_stage"] = first
    return models


def service_info(
    version: str,
    defaults: Defaults,
    limits: WireLimits,
    capabilities: Capabilities,
    checkpoint: Checkpoint | None,
    start: StartResult | None = None,
    gate: Gate = NOT_FITTED,
) -> dict[str, Any]:
    """Returns the answer of `/info`: enough to know what a score means and what a request may hold."""
    return {
        "version": version,
        "python": platform.python_version(),
        "model": {
            **_model(defaults.model, checkpoint),
            **({} if checkpoint is None else {"format_source": checkpoint.format_source}),
            "score": defaults.score_kind,
        },
        **_engine(capabilities, start),
        "modes": available_modes(capabilities.scoring),
        "adaptive": {"on": gate.parameters is not None, "reason": gate.reason},
        "default_mode": defaults.mode.value,
        "long_documents": {
            "default": defaults.long_documents.value,
            "chunk_tokens": defaults.chunks.tokens,
            "chunk_overlap": defaults.chunks.overlap,
        },
        "decisions": {"types": ["predicate", "noul"], "meaning": MEANING},
        "limits": {
            "max_documents": limits.max_documents,
            "max_batch_requests": limits.max_batch_requests,
            "max_body_bytes": limits.max_body_bytes,
            "max_model_tokens": capabilities.max_model_tokens,
            "max_tokens_per_doc": defaults.tokens_per_doc,
            "default_reasoning_tokens": defaults.reasoning_tokens,
            "max_reasoning_tokens": defaults.most_reasoning_tokens,
            "default_reasoning_budget": defaults.budgets.usual,
            "max_reasoning_budget": defaults.budgets.most,
            "request_timeout_seconds": defaults.timeout,
        },
    }


def first_stage_info(model: staged.Model | None, keep: int | None, fitted: Fitted) -> dict[str, Any]:
    """Returns what `/info` says of the first stage of a cascade. `keep`: how many documents the served model scores,
    where that is set; `fitted`: what says it where it is not."""
    if model is None:
        return {"first_stage": None}
    capabilities = model.engine.capabilities
    return {
        "first_stage": {
            **_model(model.name, model.checkpoint),
            **_engine(capabilities, model.start.result),
            "keep": keep,
            "keep_by_belief": {"on": keep is None and fitted.reaching is not None, "reason": _why(keep, fitted)},
            "max_model_tokens": capabilities.max_model_tokens,
        }
    }


def _why(keep: int | None, fitted: Fitted) -> str:
    """Why the belief does not say how many documents are kept; empty where it does."""
    return fitted.reason if keep is None else "--first-stage-keep says how many"


def _model(name: str, checkpoint: Checkpoint | None) -> dict[str, Any]:
    if checkpoint is None:
        return {"name": name, "revision": None}
    return {"name": name, "revision": checkpoint.revision, **checkpoint.manifest.to_json()}


def _engine(capabilities: Capabilities, start: StartResult | None) -> dict[str, Any]:
    return {
        "engine": {
            "name": capabilities.engine,
            "version": capabilities.engine_version,
            "dtype": capabilities.dtype,
            "device": capabilities.device,
        },
        "start_check": None if start is None else start.to_json(),
    }
