"""Liveness, readiness and metrics, for kubelets, balancers and Prometheus. None of them needs a key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.api.paths import LIVE_PATHS, METRICS_PATH, READY_PATHS
from service.lifecycle import Lifecycle, Phase
from service.telemetry.metrics import Metrics

_READY_RETRY_AFTER_SECONDS = "5"
_METHODS = ("GET", "HEAD")

Endpoint = Callable[[Request], Awaitable[Response]]


def probe_router(lifecycle: Lifecycle, metrics: Metrics, *, with_metrics: bool) -> APIRouter:
    """Returns the routes of the probes; `with_metrics` is False where the metrics have a port of their own."""
    router = APIRouter()

    async def live() -> Response:
        if lifecycle.phase is Phase.DEAD:
            return JSONResponse({"status": "dead", "reason": lifecycle.reason}, 503)
        return JSONResponse({"status": "alive"})

    async def ready() -> Response:
        if lifecycle.ready:
            return JSONResponse({"status": "ready"})
        body = {"status": "not ready", "reason": lifecycle.reason}
        return JSONResponse(body, 503, headers={"Retry-After": _READY_RETRY_AFTER_SECONDS})

    for paths, endpoint in ((LIVE_PATHS, live), (READY_PATHS, ready)):
        for path in paths:
            # Two routes: one route with two methods would have the same operation id twice, which OpenAPI forbids.
            router.add_api_route(path, endpoint, methods=["GET"], include_in_schema=path == paths[0])
            router.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)
    if with_metrics:
        router.add_route(METRICS_PATH, _metrics_endpoint(metrics), methods=list(_METHODS), include_in_schema=False)
    return router


def metrics_app(metrics: Metrics) -> Starlette:
    """Returns the app of the metrics' own port: `/metrics` and nothing else."""
    return Starlette(routes=[Route(METRICS_PATH, _metrics_endpoint(metrics), methods=list(_METHODS))])


def _metrics_endpoint(metrics: Metrics) -> Endpoint:
    async def show(request: Request) -> Response:
        body, content_type = metrics.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    return show
