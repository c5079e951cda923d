"""The routes that rank and those that describe: rerank in all its paths and shapes, models, info."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from service.api.body import parse_object, read_body
from service.api.disconnect import while_client_waits
from service.api.held_bodies import HeldBodies
from service.api.info import ServedModel
from service.api.probes import route_path
from service.errors import BadRequest, UnknownModel
from service.ranking import Progress, Ranking, RerankCall
from service.reranker import Reranker
from service.telemetry.tracing import record_phases
from service.wire.answers import Model, ModelList
from service.wire.openapi import description_responses, rerank_operation, rerank_responses
from service.wire.shape import WireLimits, WireRequest, check_size, items_key, read_request

RERANK_PATHS = ("/rerank", "/v1/rerank", "/v2/rerank", "/v1/ranking", "/ranking")
TIMEOUT_HEADER = "X-Request-Timeout-Ms"
_LONGEST_TIMEOUT_DIGITS = 12


class RerankRoute:
    """Reads a request in any shape, has it ranked while its client waits, and answers in the same shape."""

    def __init__(self, reranker: Reranker, limits: WireLimits, bodies: HeldBodies, device: str) -> None:
        self._reranker = reranker
        self._limits = limits
        self._bodies = bodies
        self._device = device

    async def __call__(self, request: Request) -> Response:
        with self._bodies.hold() as take:
            return await self._answer(request, take)

    async def _answer(self, request: Request, take: Callable[[int], None]) -> Response:
        limits, state = self._limits, request.scope["state"]
        content, received = await read_body(
            request.headers, request.receive, limit=limits.max_body_bytes, seconds=limits.body_seconds, take=take
        )
        wire = self._read(parse_object(content), request)
        del content  # a call may wait for long; its bytes, and what of them is not ranked, need not
        timeout_ms = _timeout_ms(request.headers)
        progress = state["progress"] = Progress()
        work = self._reranker.rank(
            wire.call, key=state["key"], received=received, timeout_ms=timeout_ms, progress=progress
        )
        ranking = await while_client_waits(work, request.receive)
        record_phases(state["span"], received, ranking.timings)
        return _json(wire.answer(ranking), _timing_headers(wire.call, ranking) | {"x-compute-type": self._device})

    def _read(self, data: dict[str, Any], request: Request) -> WireRequest:
        """The request in a body; what it turned out to be is noted in the state, for logs and metrics."""
        limits, state = self._limits, request.scope["state"]
        key = items_key(data)
        state["shape"] = {"documents": "cohere", "texts": "tei", "passages": "nim"}[key]
        check_size(data, key, limits.max_documents)
        wire = read_request(data, key, route_path(request.scope))
        state["shape"] = wire.label
        state["documents"] = len(wire.call.passages)
        state["texts"] = {"query": wire.call.query, "passages": wire.call.passages}
        _check_model(wire.call.model, limits.model_names)
        return wire


def build_router(
    reranker: Reranker,
    models: Callable[[], Sequence[ServedModel]],
    info: Callable[[], dict[str, Any]],
    limits: WireLimits,
    bodies: HeldBodies,
    device: str,
) -> APIRouter:
    """The routes, to be included in an app whose middlewares set `scope["state"]["key"]`.

    `device` is what the engine computes on, for a header of TEI's.
    """
    router = APIRouter()
    rerank = RerankRoute(reranker, limits, bodies, device)
    for path in RERANK_PATHS:
        router.add_api_route(
            path,
            rerank,
            methods=["POST"],
            summary="Rank documents by their relevance to a query",
            operation_id="rerank" + path.replace("/", "_"),
            responses=rerank_responses(),
            openapi_extra=rerank_operation(limits),
        )

    async def list_models() -> Response:
        return _json({"object": "list", "data": [_model(model) for model in models()]})

    async def get_model(name: str) -> Response:
        for model in models():
            if model.id == name:
                return _json(_model(model))
        raise _unknown_model(name, [model.id for model in models()])

    async def describe() -> Response:
        return _json(info())

    for path in ("/v1/models", "/models"):
        router.add_api_route(path, list_models, methods=["GET"], responses=description_responses(ModelList))
    router.add_api_route("/v1/models/{name:path}", get_model, methods=["GET"], responses=description_responses(Model))
    router.add_api_route("/info", describe, methods=["GET"], responses=description_responses(dict[str, Any]))
    return router


def _check_model(name: str | None, served: Sequence[str]) -> None:
    if name and name not in served and "*" not in served:
        raise _unknown_model(name, served)


def _unknown_model(name: str, served: Sequence[str]) -> UnknownModel:
    shown = name if len(name) <= 80 else name[:80] + "..."
    return UnknownModel(f"model {shown!r} is not served here; use one of: {', '.join(served)}.", field="model")


def _timeout_ms(headers: Headers) -> int | None:
    value = headers.get(TIMEOUT_HEADER)
    if value is None:
        return None
    digits = value.lstrip("0")[:_LONGEST_TIMEOUT_DIGITS]
    if not (value.isascii() and value.isdigit() and digits):
        raise BadRequest(
            f"The header {TIMEOUT_HEADER} must be a whole number of milliseconds above 0, got {value[:40]!r}.",
            field=TIMEOUT_HEADER,
        )
    return int(digits)


def _timing_headers(call: RerankCall, ranking: Ranking) -> dict[str, str]:
    """Milliseconds by phase: under TEI's names as whole numbers, and as Server-Timing with fractions."""
    timings = ranking.timings
    return {
        "x-total-time": str(round(timings.total)),
        "x-tokenization-time": str(round(timings.tokenize)),
        "x-queue-time": str(round(timings.queue)),
        "x-inference-time": str(round(timings.inference)),
        "x-compute-time": str(round(timings.total)),
        "x-compute-tokens": str(ranking.prompt_tokens + ranking.reasoning_tokens),
        "x-compute-characters": str(len(call.query) + sum(map(len, call.passages))),
        "server-timing": f"queue;dur={timings.queue:.1f}, tokenize;dur={timings.tokenize:.1f}, "
        f"inference;dur={timings.inference:.1f}, total;dur={timings.total:.1f}",
    }


def _model(model: ServedModel) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
        "max_model_len": model.max_model_len,
    }


def _json(body: object, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), headers=headers, media_type="application/json")
