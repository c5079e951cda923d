"""The application: routes, middlewares and what stands behind them, composed. Imports no engine, so it is testable."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import Any

from fastapi import FastAPI

from contract.verdict import AS_IT_IS
from service.api import error_responses
from service.api.access_log import ObserveMiddleware
from service.api.auth import AuthMiddleware
from service.api.error_responses import ErrorBoundary
from service.api.held_bodies import HeldBodies
from service.api.info import ServedModel
from service.api.keys import KeyFile
from service.api.probes import probe_router
from service.api.routes import build_router
from service.command_line import installed_version
from service.engine import Engine, Scoring
from service.lifecycle import Lifecycle, Phase
from service.models.checkpoint import Checkpoint
from service.ranking import ANONYMOUS
from service.reranker import Defaults, Reranker, available_modes
from service.scheduling.admission import Admission, QueueLimits
from service.scheduling.encoding import EncodingPool
from service.scheduling.rate_limit import RateLimiter
from service.scheduling.throughput import Throughput
from service.scheduling.watchdog import Watchdog, WatchIntervals
from service.scheduling.window import Window
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import Tracer
from service.wire.shape import WireLimits


@dataclass(frozen=True, slots=True)
class Composition:
    """The app and those of its parts that the server process steers."""

    app: FastAPI
    lifecycle: Lifecycle
    admission: Admission
    watch: Watchdog
    metrics: Metrics


def create_app(settings: Settings, engine: Engine, checkpoint: Checkpoint | None = None) -> Composition:
    """Compose the service around an engine. `checkpoint` is what `/info` tells of the model."""
    metrics, lifecycle, throughput = Metrics(), Lifecycle(), Throughput()
    capabilities = engine.capabilities
    window = Window(engine, min(settings.window or capabilities.window, capabilities.window), throughput)
    limits = QueueLimits(documents=settings.max_queued_documents, tokens=settings.max_queued_tokens)
    admission = Admission(window, lifecycle, limits, throughput)
    watch = Watchdog(engine, lifecycle, on_death=admission.fail_all, intervals=WatchIntervals())
    bodies = HeldBodies(settings.max_held_bytes)
    metrics.follow(lifecycle, window, bodies)
    for series in engine.metrics:
        metrics.include_engine(series.registry, series.prefix)
    encoding = EncodingPool(engine.encoder)
    temperatures = checkpoint.manifest.temperatures if checkpoint else AS_IT_IS
    tracer = Tracer(settings.otlp_endpoint, settings.trace_sample_ratio, installed_version())
    name = settings.served_name or (checkpoint.name if checkpoint else capabilities.engine)
    defaults = _defaults(settings, name, engine)
    reranker = Reranker(admission, capabilities, encoding, temperatures, defaults, RateLimiter(), metrics)
    router = build_router(
        reranker,
        models=_models(name, settings, capabilities.max_model_tokens),
        info=lambda: _info(defaults, settings, engine, checkpoint),
        limits=WireLimits(
            model_names=(name, *settings.model_aliases),
            max_documents=settings.max_documents,
            max_body_bytes=settings.max_body_bytes,
            body_seconds=settings.body_timeout_seconds,
        ),
        bodies=bodies,
        device=capabilities.device,
    )
    app = FastAPI(
        title="limrank",
        version=installed_version(),
        description="Pointwise reranking with absolute scores and reasoning traces.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect names the inner host, and POST bodies get lost on it
        root_path=settings.root_path,
        lifespan=_lifespan(lifecycle, watch, engine, tracer, throughput, encoding),
    )
    app.include_router(probe_router(lifecycle, metrics, with_metrics=settings.metrics_port is None))
    app.include_router(router)
    error_responses.install(app)
    keyring = _keyring(settings, metrics)
    # The last one added is the outermost: every request is observed, every error answered, every path guarded.
    # Without keys the limit is shared: addresses tell callers apart only where no proxy stands before the service.
    anonymous = replace(ANONYMOUS, documents_per_minute=settings.documents_per_minute)
    app.add_middleware(AuthMiddleware, keyring=keyring, metrics=metrics, anonymous=anonymous)
    app.add_middleware(ErrorBoundary)
    app.add_middleware(
        ObserveMiddleware, metrics=metrics, tracer=tracer, lifecycle=lifecycle, log_texts=settings.log_texts
    )
    _describe(metrics, name, engine, checkpoint)
    return Composition(app, lifecycle, admission, watch, metrics)


def _lifespan(
    lifecycle: Lifecycle,
    watch: Watchdog,
    engine: Engine,
    tracer: Tracer,
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


def _keyring(settings: Settings, metrics: Metrics) -> KeyFile | None:
    if settings.keys_file is None:
        return None
    return KeyFile(settings.keys_file, metrics, settings.documents_per_minute)


def _describe(metrics: Metrics, name: str, engine: Engine, checkpoint: Checkpoint | None) -> None:
    capabilities = engine.capabilities
    revision = (checkpoint.revision if checkpoint else None) or ""
    metrics.model_info.labels(
        name, revision, capabilities.engine, capabilities.engine_version, capabilities.dtype, capabilities.device
    ).set(1)
    metrics.build_info.labels(installed_version(), platform.python_version()).set(1)


def _defaults(settings: Settings, name: str, engine: Engine) -> Defaults:
    most = min(settings.max_reasoning_tokens, engine.capabilities.max_reasoning_tokens)
    return Defaults(
        model=name,
        mode=settings.mode,
        reasoning_tokens=min(settings.reasoning_tokens, most),
        most_reasoning_tokens=most,
        tokens_per_doc=settings.max_tokens_per_doc,
        timeout=settings.request_timeout_seconds,
    )


def _models(name: str, settings: Settings, max_model_tokens: int) -> Callable[[], list[ServedModel]]:
    started = int(time.time())
    names = (name, *(alias for alias in settings.model_aliases if alias not in (name, "*")))
    served = [ServedModel(id=each, created=started, max_model_len=max_model_tokens) for each in names]
    return lambda: served


def _info(defaults: Defaults, settings: Settings, engine: Engine, checkpoint: Checkpoint | None) -> dict[str, Any]:
    """What `/info` tells: enough to know what a score means and what a request may hold."""
    capabilities = engine.capabilities
    return {
        "version": installed_version(),
        "python": platform.python_version(),
        "model": {
            "name": defaults.model,
            "revision": None if checkpoint is None else checkpoint.revision,
            **({} if checkpoint is None else checkpoint.manifest.to_json()),
        },
        "engine": {
            "name": capabilities.engine,
            "version": capabilities.engine_version,
            "dtype": capabilities.dtype,
            "device": capabilities.device,
        },
        "modes": available_modes(capabilities.scoring),
        "default_mode": settings.mode.value,
        "limits": {
            "max_documents": settings.max_documents,
            "max_body_bytes": int(settings.max_body_bytes),
            "max_model_tokens": capabilities.max_model_tokens,
            "max_tokens_per_doc": settings.max_tokens_per_doc,
            "default_reasoning_tokens": defaults.reasoning_tokens,
            "max_reasoning_tokens": defaults.most_reasoning_tokens,
            "request_timeout_seconds": settings.request_timeout_seconds,
        },
    }
