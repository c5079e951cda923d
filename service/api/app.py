"""Composes the application: routes, middlewares and the parts they use. Imports no engine, so tests can pass a fake."""

from __future__ import annotations

import asyncio
import contextlib
import platform
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fastapi import FastAPI

from cli.version import installed_version
from contract.adaptive.parameters import read_gate
from contract.adaptive.reaching import NOTHING, Fitted, read_reaching
from service.api import error_responses
from service.api.access_log import AccessLogMiddleware
from service.api.auth import AuthMiddleware
from service.api.error_responses import ErrorBoundary, paths_of
from service.api.info import first_stage_info, served_models, service_info
from service.api.keys import KeyFile
from service.api.paths import TidyRerankPaths
from service.api.probes import probe_router
from service.api.routes import build_router
from service.api.several.router import several_router
from service.engine import Engine, Scoring
from service.errors import EngineDead
from service.http.body_budget import BodyBudget
from service.http.cross_origin import CrossOrigin
from service.http.memory import MemoryReturn
from service.lifecycle import Lifecycle, Phase
from service.models.checkpoint import Checkpoint
from service.pages.router import is_open, page_router
from service.passages.cutting import ChunkSize
from service.planning import Defaults
from service.ranking import ANONYMOUS, ScoreKind, StageName
from service.reranker import Reranker
from service.scheduling.rate_limit import RateLimiter
from service.scheduling.watchdog import Watchdog
from service.settings import Settings
from service.stages.cascade import Cascade, Keep, Line
from service.stages.fusion import Fusing
from service.stages.model import Counts, Model, common_score
from service.stages.parts import Parts
from service.stages.remembering import Remembering
from service.stages.score_cache import ScoreCache
from service.stages.scoring import Scorer
from service.stages.stage import Stage
from service.strategies.choosing import NOT_FITTED, Budgets
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import RequestTracer
from service.wire.shape import WireLimits


@dataclass(frozen=True, slots=True)
class Composition:
    """The app, and those of its parts that the server process controls. `models`: the served one, then the first stage
    of a cascade."""

    app: FastAPI
    lifecycle: Lifecycle
    models: Sequence[Model]
    metrics: Metrics
    bodies: BodyBudget

    @property
    def watch(self) -> Watchdog:
        """That of the served model, which is told of the death of either engine."""
        return self.models[0].watch


@dataclass(frozen=True, slots=True)
class FirstStageModel:
    """The first stage of a cascade."""

    engine: Engine
    checkpoint: Checkpoint | None = None


def open_keys(settings: Settings) -> KeyFile | None:
    """Reads the key file, if one is set. Raises KeyFileError."""
    if settings.keys_file is None:
        return None
    return KeyFile(settings.keys_file, settings.documents_per_minute)


def create_app(
    settings: Settings,
    engine: Engine,
    checkpoint: Checkpoint | None = None,
    keys: KeyFile | None = None,
    first: FirstStageModel | None = None,
) -> Composition:
    """Composes the service around an engine. `/info` describes `checkpoint`.

    `keys`: the open key file; without it the one that `settings` name is opened here. `first`: what scores all
    documents before the engine scores the best of them.
    """
    metrics, lifecycle = Metrics(), Lifecycle()
    models: list[Model] = []

    def died(error: EngineDead) -> None:
        for model in models:
            model.admission.fail_all(error)
        models[0].watch.died.set()

    served = Model(settings, engine, checkpoint, lifecycle, died)
    models.append(served)
    if first is not None:
        models.append(Model(settings, first.engine, first.checkpoint, lifecycle, died, first_stage=True))
    capabilities = engine.capabilities
    several_keys = settings.keys_file is not None
    bodies = BodyBudget(
        settings.max_held_bytes,
        largest=settings.max_body_bytes,
        several_keys=several_keys,
        emptied=MemoryReturn(),
    )
    metrics.follow(lifecycle, Counts(models), bodies)
    for series in (series for model in models for series in model.engine.metrics):
        metrics.include_engine(series.registry, series.prefix)
    version = installed_version()
    tracer = RequestTracer(settings.otlp_endpoint, settings.trace_sample_ratio, version)
    name = settings.served_name or served.name
    score = common_score([model.score for model in models])
    defaults = _defaults(settings, name, engine, score)
    limits = WireLimits(
        model_names=(name, *settings.model_aliases),
        max_documents=settings.max_documents,
        max_body_bytes=int(settings.max_body_bytes),
        body_seconds=settings.body_timeout_seconds,
        max_batch_requests=settings.max_batch_requests,
    )
    gate = read_gate(checkpoint.manifest.adaptive, served.fingerprint) if checkpoint else NOT_FITTED
    parts = Parts(
        served.admission,
        capabilities,
        served.encoding,
        served.temperatures,
        defaults,
        RateLimiter(),
        metrics,
        gate,
    )
    fitted = _fitted(models)
    keep = Keep(settings.first_stage_keep, fitted.reaching)
    reranker = Reranker(parts, _stage(settings, models, parts, keep))
    router = build_router(
        reranker,
        models=served_models(
            name, settings.model_aliases, capabilities.max_model_tokens, score, *(model.name for model in models[1:])
        ),
        info=lambda: (
            service_info(version, defaults, limits, engine.capabilities, checkpoint, served.start.result, gate)
            | first_stage_info(models[1] if len(models) > 1 else None, settings.first_stage_keep, fitted)
        ),
        limits=limits,
        bodies=bodies,
        device=capabilities.device,
    )
    app = _framework(version, settings.root_path, _lifespan(lifecycle, models, tracer))
    app.include_router(probe_router(lifecycle, metrics, with_metrics=settings.metrics_port is None))
    app.include_router(router)
    app.include_router(several_router(reranker, limits, bodies))
    app.include_router(page_router(paths_of, with_pages=settings.pages))
    _add_middlewares(app, settings, keys or open_keys(settings), metrics, tracer, lifecycle)
    metrics.build_info.labels(version, platform.python_version()).set(1)
    for model in models:
        _describe(metrics, name if model is served else model.name, model)
    return Composition(app, lifecycle, models, metrics, bodies)


def _fitted(models: Sequence[Model]) -> Fitted:
    """What the served model's manifest says of the first stage."""
    served, *others = models
    if served.checkpoint is None or not others:
        return NOTHING
    return read_reaching(served.checkpoint.manifest.first_stage, served.fingerprint, others[0].fingerprint)


def _stage(settings: Settings, models: Sequence[Model], parts: Parts, keep: Keep) -> Stage:
    """What judges calls: the served model, behind the first stage if there is one."""
    cache = ScoreCache(int(settings.score_cache_bytes)) if settings.score_cache_bytes else None
    if cache is not None:
        parts.metrics.follow_scores(lambda: cache.held_bytes)

    def line(parts: Parts, name: StageName, model: Model) -> Line:
        scorer = Scorer(parts)
        named = f"{name} {model.fingerprint}"
        return Line(parts, scorer if cache is None else Remembering(scorer, parts, named, cache))

    served = line(parts, StageName.SECOND, models[0])
    if len(models) == 1:
        return Fusing(served.stage)
    of_first = replace(
        parts,
        admission=models[1].admission,
        capabilities=models[1].engine.capabilities,
        encoding=models[1].encoding,
        temperatures=models[1].temperatures,
        gate=NOT_FITTED,
    )
    return Cascade(line(of_first, StageName.FIRST, models[1]), served, keep)


def _framework(version: str, root_path: str, lifespan: Any) -> FastAPI:
    app = FastAPI(
        title="limrank",
        version=version,
        description="Pointwise reranking with absolute scores and reasoning traces.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would name the inner host, and lose the body of a POST
        root_path=root_path,
        lifespan=lifespan,
    )
    error_responses.install(app)
    return app


def _add_middlewares(
    app: FastAPI,
    settings: Settings,
    keys: KeyFile | None,
    metrics: Metrics,
    tracer: RequestTracer,
    lifecycle: Lifecycle,
) -> None:
    """Adds them from the inside out, so that every request is logged, every error answered and every path guarded."""
    if keys is not None:
        keys.report_to(metrics.key_file_read)
    # Without keys all callers share the limit: behind a proxy their addresses do not distinguish them.
    anonymous = replace(ANONYMOUS, documents_per_minute=settings.documents_per_minute)
    app.add_middleware(TidyRerankPaths)
    open_pages = partial(is_open, with_pages=settings.pages)
    app.add_middleware(AuthMiddleware, keyring=keys, metrics=metrics, anonymous=anonymous, is_open=open_pages)
    app.add_middleware(ErrorBoundary, lifecycle=lifecycle)
    if settings.cors_origins:
        app.add_middleware(CrossOrigin, origins=settings.cors_origins)
    app.add_middleware(
        AccessLogMiddleware, metrics=metrics, tracer=tracer, lifecycle=lifecycle, log_texts=settings.log_texts
    )


def _lifespan(lifecycle: Lifecycle, models: Sequence[Model], tracer: RequestTracer) -> Any:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        for model in models:
            await model.watch.warm_up()
            model.throughput.suppose(Scoring.DIRECT, model.watch.direct_rate)
        if lifecycle.phase is Phase.STARTING:
            lifecycle.phase = Phase.READY
        watching = [asyncio.create_task(model.watch.run()) for model in models]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            for model in models:
                model.encoding.close()
                await model.engine.close()
            await asyncio.to_thread(tracer.close)

    return lifespan


def _describe(metrics: Metrics, name: str, model: Model) -> None:
    capabilities, checkpoint = model.engine.capabilities, model.checkpoint
    revision = (checkpoint.revision if checkpoint else None) or ""
    metrics.model_info.labels(
        name, revision, capabilities.engine, capabilities.engine_version, capabilities.dtype, capabilities.device
    ).set(1)


def _defaults(settings: Settings, name: str, engine: Engine, score: ScoreKind) -> Defaults:
    most = min(settings.max_reasoning_tokens, engine.capabilities.max_reasoning_tokens)
    return Defaults(
        model=name,
        mode=settings.mode,
        reasoning_tokens=min(settings.reasoning_tokens, most),
        most_reasoning_tokens=most,
        tokens_per_doc=settings.max_tokens_per_doc,
        timeout=settings.request_timeout_seconds,
        least_passage=int(settings.min_passage_share * engine.capabilities.room),
        score_kind=score,
        long_documents=settings.long_documents,
        chunks=ChunkSize(settings.chunk_tokens, settings.chunk_overlap),
        most_pieces=settings.max_queued_documents,
        budgets=Budgets(settings.default_reasoning_budget, settings.max_reasoning_budget),
        first_stage_weight=settings.first_stage_weight,
    )
