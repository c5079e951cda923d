"""Composes the application: routes, middlewares and the parts they use. Imports no engine, so tests can pass a fake."""

from __future__ import annotations

import asyncio
import contextlib
import platform
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fastapi import FastAPI

from cli.version import installed_version
from contract.adaptive.parameters import read_gate
from contract.verdict import AS_IT_IS
from service.api import error_responses
from service.api.access_log import AccessLogMiddleware
from service.api.auth import AuthMiddleware
from service.api.error_responses import ErrorBoundary, paths_of
from service.api.info import served_models, service_info
from service.api.keys import KeyFile
from service.api.paths import TidyRerankPaths
from service.api.probes import probe_router
from service.api.routes import build_router
from service.api.several.router import several_router
from service.engine import Engine, Scoring
from service.http.body_budget import BodyBudget
from service.http.cross_origin import CrossOrigin
from service.lifecycle import Lifecycle, Phase
from service.models.checkpoint import Checkpoint
from service.pages.router import is_open, page_router
from service.passages.cutting import ChunkSize
from service.planning import Defaults
from service.ranking import ANONYMOUS, ScoreKind
from service.reranker import Reranker
from service.scheduling.admission import Admission
from service.scheduling.encoding import EncodingPool, PassageShare
from service.scheduling.rate_limit import RateLimiter
from service.scheduling.shares import QueueLimits
from service.scheduling.start_check import StartCheck
from service.scheduling.throughput import Throughput
from service.scheduling.watchdog import Watchdog, WatchIntervals
from service.scheduling.window import Window
from service.settings import Settings
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
    """The app, and those of its parts that the server process controls."""

    app: FastAPI
    lifecycle: Lifecycle
    admission: Admission
    watch: Watchdog
    metrics: Metrics
    bodies: BodyBudget
    start: StartCheck


def open_keys(settings: Settings) -> KeyFile | None:
    """Reads the key file, if one is set. Raises KeyFileError."""
    if settings.keys_file is None:
        return None
    return KeyFile(settings.keys_file, settings.documents_per_minute)


def create_app(
    settings: Settings, engine: Engine, checkpoint: Checkpoint | None = None, keys: KeyFile | None = None
) -> Composition:
    """Composes the service around an engine. `/info` describes `checkpoint`.

    `keys`: the open key file; without it the one that `settings` name is opened here.
    """
    metrics, lifecycle, throughput = Metrics(), Lifecycle(), Throughput()
    capabilities = engine.capabilities
    window = Window(engine, min(settings.window or capabilities.window, capabilities.window), throughput)
    several_keys = settings.keys_file is not None
    queue_limits = QueueLimits(settings.max_queued_documents, settings.max_queued_tokens, several_keys)
    admission = Admission(window, lifecycle, queue_limits, throughput)
    watch = Watchdog(engine, lifecycle, on_death=admission.fail_all, intervals=WatchIntervals())
    bodies = BodyBudget(settings.max_held_bytes, largest=settings.max_body_bytes, several_keys=several_keys)
    metrics.follow(lifecycle, window, bodies)
    for series in engine.metrics:
        metrics.include_engine(series.registry, series.prefix)
    share = PassageShare(capabilities.room, capabilities.max_model_tokens, settings.min_passage_share)
    encoding = EncodingPool(engine.encoder, share=share)
    temperatures = checkpoint.manifest.temperatures if checkpoint else AS_IT_IS
    start = StartCheck(engine, strict=settings.strict_model)
    version = installed_version()
    tracer = RequestTracer(settings.otlp_endpoint, settings.trace_sample_ratio, version)
    name = settings.served_name or (checkpoint.name if checkpoint else capabilities.engine)
    score = checkpoint.score if checkpoint else ScoreKind.OWN
    defaults = _defaults(settings, name, engine, score)
    limits = WireLimits(
        model_names=(name, *settings.model_aliases),
        max_documents=settings.max_documents,
        max_body_bytes=int(settings.max_body_bytes),
        body_seconds=settings.body_timeout_seconds,
        max_batch_requests=settings.max_batch_requests,
    )
    gate = read_gate(checkpoint.manifest.adaptive, checkpoint.manifest.fingerprint) if checkpoint else NOT_FITTED
    parts = Parts(admission, capabilities, encoding, temperatures, defaults, RateLimiter(), metrics, gate)
    stage: Stage = Scorer(parts)
    if settings.score_cache_bytes:
        cache = ScoreCache(int(settings.score_cache_bytes))
        metrics.follow_scores(lambda: cache.held_bytes)
        stage = Remembering(stage, parts, cache, checkpoint.manifest.fingerprint if checkpoint else "")
    reranker = Reranker(parts, stage)
    router = build_router(
        reranker,
        models=served_models(name, settings.model_aliases, capabilities.max_model_tokens, score),
        info=lambda: service_info(version, defaults, limits, engine.capabilities, checkpoint, start.result, gate),
        limits=limits,
        bodies=bodies,
        device=capabilities.device,
    )
    app = _framework(version, settings.root_path, _lifespan(lifecycle, watch, engine, tracer, throughput, encoding))
    app.include_router(probe_router(lifecycle, metrics, with_metrics=settings.metrics_port is None))
    app.include_router(router)
    app.include_router(several_router(reranker, limits, bodies))
    app.include_router(page_router(paths_of, with_pages=settings.pages))
    _add_middlewares(app, settings, keys or open_keys(settings), metrics, tracer, lifecycle)
    _describe(metrics, version, name, engine, checkpoint)
    return Composition(app, lifecycle, admission, watch, metrics, bodies, start)


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


def _lifespan(
    lifecycle: Lifecycle,
    watch: Watchdog,
    engine: Engine,
    tracer: RequestTracer,
    throughput: Throughput,
    encoding: EncodingPool,
) -> Any:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        await watch.warm_up()
        throughput.suppose(Scoring.DIRECT, watch.direct_rate)
        if lifecycle.phase is Phase.STARTING:
            lifecycle.phase = Phase.READY
        watching = asyncio.create_task(watch.run())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            encoding.close()
            await engine.close()
            await asyncio.to_thread(tracer.close)

    return lifespan


def _describe(metrics: Metrics, version: str, name: str, engine: Engine, checkpoint: Checkpoint | None) -> None:
    capabilities = engine.capabilities
    revision = (checkpoint.revision if checkpoint else None) or ""
    metrics.model_info.labels(
        name, revision, capabilities.engine, capabilities.engine_version, capabilities.dtype, capabilities.device
    ).set(1)
    metrics.build_info.labels(version, platform.python_version()).set(1)


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
    )
