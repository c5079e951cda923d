"""The paths of the service, and how a request's path is compared with them."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

RERANK_PATHS = ("/rerank", "/v1/rerank", "/v2/rerank", "/v1/ranking", "/ranking")
BATCH_PATH = "/v1/rerank/batch"
DECISIONS_PATH = "/v1/decisions"
SYSTEM_ONE_PATH = "/v1/systemone"
RANKING_PATHS = frozenset((*RERANK_PATHS, BATCH_PATH, DECISIONS_PATH, SYSTEM_ONE_PATH))
MODELS_PATHS = ("/v1/models", "/models")
MODEL_PATH = "/v1/models/{name:path}"
INFO_PATH = "/info"
# `/health` and `/healthz` mean liveness; `/v1/health/*` are NIM's names.
LIVE_PATHS = ("/health/live", "/health", "/healthz", "/v1/health/live")
READY_PATHS = ("/health/ready", "/v1/health/ready")
METRICS_PATH = "/metrics"
PROBE_PATHS = frozenset((*LIVE_PATHS, *READY_PATHS, METRICS_PATH))


def route_path(scope: Scope) -> str:
    """Returns the request's path without the root path, by the same rule as Starlette's router."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    below = root and (path == root or path.startswith(root + "/"))
    return path[len(root) :] if below else path


class TidyRerankPaths:
    """ASGI middleware that takes `/rerank/` and `//rerank` for `/rerank`: so send clients that join a base and a path
    with a slash too many. Other paths are left as they are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and route_path(scope) not in RANKING_PATHS:
            path = route_path(scope)
            tidy = re.sub("/{2,}", "/", path).rstrip("/")
            if tidy in RANKING_PATHS:
                scope["path"] = scope["path"].removesuffix(path) + tidy
        await self._app(scope, receive, send)
