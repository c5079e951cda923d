"""Liveness, readiness and metrics: what kubelets, balancers and Prometheus ask for. None of it needs a key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from service.lifecycle import Lifecycle, Phase
from service.telemetry.metrics import Metrics

# `/health` and `/healthz` mean liveness; `/v1/health/*` are NIM's names.
LIVE_PATHS = ("/health/live", "/health", "/healthz", "/v1/health/live")
READY_PATHS = ("/health/ready", "/v1/health/ready")
METRICS_PATH = "/metrics"
PROBE_PATHS = frozenset((*LIVE_PATHS, *READY_PATHS, METRICS_PATH))

_READY_RETRY_AFTER_SECONDS = "5"
_METHODS = ("GET", "HEAD")

Endpoint = Callable[[Request], Awaitable[Response]]


def route_path(scope: Scope) -> str:
    """The request's path without the root path, by the same rule as the router's."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    below = root and (path == root or path.startswith(root + "/"))
    return path[len(root) :] if below else path


def probe_router(lifecycle: Lifecycle, metrics: Metrics, *, with_metrics: bool) -> APIRouter:
    """The probe paths; `with_metrics` False where the metrics have a port of their own."""
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
            # Two routes: the page of a route with two methods has the same operation id twice, which is an error.
            router.add_api_route(path, endpoint, methods=["GET"], include_in_schema=path == paths[0])
            router.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)
    if with_metrics:
        router.add_route(METRICS_PATH, _metrics_endpoint(metrics), methods=list(_METHODS), include_in_schema=False)
    return router


def metrics_app(metrics: Metrics) -> Starlette:
    """The app of the metrics' own port: `/metrics` and nothing else."""
    return Starlette(routes=[Route(METRICS_PATH, _metrics_endpoint(metrics), methods=list(_METHODS))])


def _metrics_endpoint(metrics: Metrics) -> Endpoint:
    async def show(request: Request) -> Response:
        body, content_type = metrics.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    return show
