"""Knocks on every door of an app without a key: on each route with each method, and where there is no door."""

from __future__ import annotations

import http.client
import itertools
import re
from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from service.api.paths import PROBE_PATHS
from tests.waiting import PATIENCE

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
UNKNOWN_PATHS = (
    "/",
    "//rerank",
    "/nowhere",
    "/RERANK",
    "/rerank/",
    "/%72erank",
    "/openapi.json",
    "/docs",
    "/redoc",
    "/health/",
    "/healthx",
    "/health/other",
    "/health/../rerank",
    "/health/live/../../rerank",
    "/health%2f..%2frerank",
    "/metrics/",
    "/metrics/x",
    "/metrics;/../rerank",
    "/v1/health",
    "/rerank?path=/health/live",
    "/rerank#/health",
)
WRONG = (
    None,
    "",
    "Bearer",
    "Bearer ",
    "Bearer wrong",
    "Basic dXNlcjpwYXNz",
    "bearer " + "x" * 5000,
    "wrong",
)


STATIC = frozenset((method, path) for method in ("GET", "HEAD") for path in ("/", "/docs", "/assets/anything"))
"""The pages for browsers, which hold nothing of the server; the last stands for a file that is not there."""


def unguarded(app: FastAPI, url: str, static: Collection[tuple[str, str]] = STATIC) -> list[str]:
    """The requests that are let in without a valid key, as `METHOD path header -> status`; none should be, and those of
    `static` must be."""
    open_doors = []
    paths = [path for path in dict.fromkeys((*paths_of(app.routes), *UNKNOWN_PATHS)) if path not in PROBE_PATHS]
    for path, method, header in _knocks(paths):
        status = status_of(url, method, path, header)
        if (status != 401) is not ((method, path) in static):
            open_doors.append(f"{method} {path} {header!r} -> {status}")
    return open_doors


def paths_of(routes: list[BaseRoute], above: str = "") -> Iterator[str]:
    """Every path of these routes, with something in the place of parameters."""
    for route in routes:
        if isinstance(route, Mount):
            yield from paths_of(list(route.routes), above + route.path)
        elif isinstance(route, Route | WebSocketRoute):
            yield above + re.sub(r"\{[^}]*\}", "anything", route.path)
        else:
            raise TypeError(f"the walk does not know routes of type {type(route).__name__}")


def status_of(url: str, method: str, path: str, header: str | None) -> int:
    """The status of a request whose path goes on the wire as it is."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    try:
        connection.putrequest(method, path)
        if header is not None:
            connection.putheader("Authorization", header)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


def _knocks(paths: list[str]) -> Iterator[tuple[str, str, str | None]]:
    """Every path with every method without a key, and with every wrong key by one method."""
    yield from itertools.product(paths, METHODS, [None])
    yield from itertools.product(paths, ["POST"], WRONG[1:])
