"""The one place that turns an error into an HTTP response."""

from __future__ import annotations

import asyncio
import logging
import math
from http import HTTPStatus

import orjson
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.context import request_context
from service.api.paths import route_path
from service.errors import CallCut, ServiceError, Unavailable, UnsupportedMedia
from service.http.unpacking import ACCEPTED
from service.lifecycle import Lifecycle, Phase
from service.wire.shape import error_body

_log = logging.getLogger("limrank.errors")


class ErrorBoundary:
    """ASGI middleware that answers every error raised by the app it wraps, other middlewares included.

    Place it inside the middleware that makes the request context, and outside the one that checks keys.
    An error raised after the response has started passes through: only the server can close the connection then. A
    request that the server gives up on when it stops is told to come again.
    """

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle | None = None) -> None:
        self._app = app
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if started:
                raise
            await error_response(error, scope)(scope, receive, send)
        except asyncio.CancelledError:
            if started or self._lifecycle is None or self._lifecycle.phase is not Phase.DRAINING:
                raise
            await error_response(CallCut(), scope)(scope, receive, send)


def install(app: FastAPI) -> None:
    """Answers the framework's own errors (no such path, no such method) like those of the service."""

    async def answer(request: Request, error: Exception) -> Response:
        return error_response(error, request.scope)

    app.add_exception_handler(HTTPException, answer)
    app.add_exception_handler(ServiceError, answer)


def error_response(error: Exception, scope: Scope) -> Response:
    """Returns the response to `error` in the shape of the request's body; an unforeseen error's text is only logged."""
    known = as_service_error(error, scope)
    context = request_context(scope)
    context.error = known
    status, body = error_body(known, context.shape, context.request_id)
    return Response(orjson.dumps(body), status, _headers(known, error), media_type="application/json")


def as_service_error(error: Exception, scope: Scope) -> ServiceError:
    """Returns the error that is answered; one that nobody foresaw is logged."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, HTTPException):
        return _from_framework(error, scope)
    _log.error("unforeseen_error", exc_info=error)
    return ServiceError("The server failed while answering; its log has the details under this request's id.")


def _from_framework(error: HTTPException, scope: Scope) -> ServiceError:
    known = ServiceError(str(error.detail))
    # Where other servers rank, this one has its playground: whoever posts there is told the paths, as anywhere else.
    known.status = 404 if error.status_code == 405 and route_path(scope) == "/" else error.status_code
    known.kind = HTTPStatus(known.status).phrase.lower().replace(" ", "_")
    if known.status == 404:
        known.message = f"There is no {_quoted(scope['path'])} here. Valid paths: {', '.join(paths_of(scope))}."
    if known.status == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        known.message = f"{_quoted(scope['path'])} does not take {scope['method'][:20]}; use {allowed}."
    return known


def _quoted(path: str) -> str:
    return repr(path if len(path) <= 80 else path[:80] + "...")


def paths_of(scope: Scope) -> list[str]:
    """Returns the paths of the app that answers this request, as `METHOD /path`."""
    routes = (route for route in scope["app"].routes if isinstance(route, Route))
    return [
        f"{method} {route.path_format}"
        for route in routes
        for method in sorted(route.methods or ())
        if method != "HEAD"
    ]


def _headers(known: ServiceError, error: Exception) -> dict[str, str]:
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if known.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(known.retry_after)))
    if isinstance(known, UnsupportedMedia):
        headers["Accept-Encoding"] = ACCEPTED
    if isinstance(known, Unavailable) and known.reason in ("draining", "cut"):
        headers["Connection"] = "close"
    return headers
