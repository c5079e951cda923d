"""Routes of the pages. They need no key and contain nothing about this server: a page fetches what it shows, with the
key that its reader types in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson
from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from service.http.accept import accepted, weight_of
from service.pages.assets import STATIC, Asset, find_asset, read_asset

HOME_PATH = "/"
DOCS_PATH = "/docs"
ASSETS_PATH = "/assets/{name}"
_ASSETS_PREFIX = "/assets/"
_METHODS = ("GET", "HEAD")
_HTML, _JSON = "text/html", "application/json"

# Swagger UI sets style attributes and draws with inline images; the playground does neither.
_DIRECTIVES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
_PLAYGROUND_POLICY = {**_DIRECTIVES, "require-trusted-types-for": "'script'", "trusted-types": "'none'"}
_DOCS_POLICY = {**_DIRECTIVES, "style-src": "'self' 'unsafe-inline'", "img-src": "'self' data:"}
_HEADERS = {
    "cache-control": "no-cache",  # browsers ask each time: a new version of the service shows its own files
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

Listing = Callable[[Scope], list[str]]


def is_open(method: str, path: str, *, with_pages: bool) -> bool:
    """Returns whether a request needs no key. `path` excludes the root path; `with_pages`: whether pages are served."""
    if method not in _METHODS:
        return False
    return path == HOME_PATH or (with_pages and (path == DOCS_PATH or path.startswith(_ASSETS_PREFIX)))


def page_router(listing: Listing, *, with_pages: bool) -> APIRouter:
    """Returns the route of `/` and, `with_pages`, those of the pages.

    `listing` returns the paths of the app, as `METHOD /path`.
    """
    router = APIRouter()

    async def home(request: Request) -> Response:
        if with_pages and wants_html(request.headers.get("accept", "")):
            return _page(request, "playground.html", _PLAYGROUND_POLICY)
        body = orjson.dumps({"service": "limrank", "paths": listing(request.scope)})
        return Response(body, headers={"vary": "Accept"}, media_type="application/json")

    async def docs(request: Request) -> Response:
        return _page(request, "docs.html", _DOCS_POLICY)

    async def asset(request: Request) -> Response:
        path = find_asset(request.path_params["name"])
        if path is None:
            raise HTTPException(404)
        return _answer(request, read_asset(path), {})

    router.add_route(HOME_PATH, home, methods=list(_METHODS), include_in_schema=False)
    if with_pages:
        router.add_route(DOCS_PATH, docs, methods=list(_METHODS), include_in_schema=False)
        router.add_route(ASSETS_PATH, asset, methods=list(_METHODS), include_in_schema=False)
    return router


def wants_html(accept: str) -> bool:
    """True if an Accept header names HTML, as browsers' do, and weighs JSON no more; `*/*` alone is a program's."""
    ranges = list(accepted(accept))
    html = max((each.q for each in ranges if each.range == _HTML), default=0.0)
    return html > 0 and html >= weight_of(_JSON, ranges)


def _page(request: Request, name: str, policy: Mapping[str, str]) -> Response:
    csp = "; ".join(f"{directive} {value}" for directive, value in policy.items())
    return _answer(request, read_asset(STATIC / name), {"content-security-policy": csp, "vary": "Accept"})


def _answer(request: Request, asset: Asset, more: Mapping[str, str]) -> Response:
    headers = {**_HEADERS, "etag": asset.tag, **more}
    if asset.tag in [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(asset.content, headers={**headers, "content-type": asset.media_type})
