"""The routes that rank and those that describe: rerank in all its paths and shapes, models, info."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.body import BodyParser, read_body
from service.api.context import RequestContext, request_context
from service.api.disconnect import client_leaves
from service.api.info import Model, ModelList
from service.api.paths import INFO_PATH, MODEL_PATH, MODELS_PATHS, RERANK_PATHS, route_path
from service.api.streams.accept import framing_asked
from service.api.streams.answer import StreamedAnswer, streamed
from service.errors import BadRequest
from service.http.body_budget import BodyBudget, BodyHold
from service.ranking import RerankCall, Timings
from service.reranker import Reranker
from service.wire.cohere import CohereRequest
from service.wire.openapi import description_responses, rerank_operation, rerank_responses
from service.wire.pruning import pruned
from service.wire.shape import WireLimits, WireRequest, check_model, check_size, shape_of, unknown_model
from service.wire.threshold import with_parameters

TIMEOUT_HEADER = "X-Request-Timeout-Ms"
WARNINGS_HEADER = "x-warnings"
BELOW_HEADER = "x-below-min-score"
_LONGEST_TIMEOUT_DIGITS = 12


class SentAnswer(Response):
    """An answer that tells when it has been sent, or given up."""

    sent: Callable[[], None] = staticmethod(lambda: None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.sent()


class BodyRoute(ABC):
    """A route with a body, which is held from its first byte until the answer is sent or given up."""

    def __init__(self, limits: WireLimits, bodies: BodyBudget, prune: Callable[[bytes], Any]) -> None:
        """`prune` reads a body of very many values."""
        self._limits = limits
        self._bodies = bodies
        self._parser = BodyParser(prune)

    async def __call__(self, request: Request) -> Response:
        context = request_context(request.scope)
        hold = self._bodies.hold(context.caller.name)
        try:
            response = await self._answer(request, context, hold)
        except BaseException:
            hold.release()
            raise
        response.sent = hold.release
        return response

    @abstractmethod
    async def _answer(self, request: Request, context: RequestContext, hold: BodyHold) -> SentAnswer | StreamedAnswer:
        """Reads the body by `_parsed` and answers."""

    async def _parsed(self, request: Request, hold: BodyHold) -> tuple[dict[str, Any], float]:
        """Returns the body as an object, and the `time.monotonic()` instant of its last byte."""
        limits = self._limits
        with hold.reading():
            content, received = await read_body(
                request.headers,
                request.receive,
                limit=limits.max_body_bytes,
                seconds=limits.body_seconds,
                reserve=hold.reserve,
            )
        return await self._parser.parse(content), received


class RerankRoute(BodyRoute):
    """Reads a request in any shape, ranks it while its client waits, and answers in the same shape."""

    def __init__(self, reranker: Reranker, limits: WireLimits, bodies: BodyBudget, device: str) -> None:
        super().__init__(limits, bodies, partial(pruned, most_items=limits.max_documents))
        self._reranker = reranker
        self._device = device

    async def _answer(self, request: Request, context: RequestContext, hold: BodyHold) -> SentAnswer | StreamedAnswer:
        data, received = await self._parsed(request, hold)
        wire = self._read(data, context, route_path(request.scope))
        del data  # a call may wait for long; its raw body is not needed any more
        timeout_ms = timeout_ms_of(request.headers)
        call = with_parameters(wire.call, request.scope["query_string"])
        rank = partial(
            self._reranker.rank,
            call,
            key=context.caller,
            received=received,
            timeout_ms=timeout_ms,
            client_leaves=partial(client_leaves, request.receive),
        )
        context.received, compute_type = received, {"x-compute-type": self._device}
        if isinstance(wire, CohereRequest):
            framing = framing_asked(",".join(request.headers.getlist("accept")), wire.stream)
            if framing is not None:
                return await streamed(wire, framing, context, lambda feed: rank(listener=feed), compute_type)
        ranking = await rank()
        context.timings, context.rankings = ranking.timings, {None: ranking}
        tokens = ranking.prompt_tokens + ranking.reasoning_tokens
        headers = timing_headers(ranking.timings, tokens, [call]) | compute_type
        if ranking.warnings:  # for the shapes whose body has no place for them
            headers[WARNINGS_HEADER] = " ".join(ranking.warnings)
        if ranking.below_min_score is not None:
            headers[BELOW_HEADER] = str(ranking.below_min_score)
        return SentAnswer(orjson.dumps(wire.answer(ranking)), headers=headers, media_type="application/json")

    def _read(self, data: dict[str, Any], context: RequestContext, path: str) -> WireRequest:
        """Reads a body, and notes in `context` what logs and metrics report about it."""
        shape = shape_of(data)
        context.shape = shape.label
        check_size(data, shape, self._limits.max_documents)
        wire = shape.read(data, path)
        context.shape = wire.label
        context.calls, context.query, context.passages = {None: wire.call}, wire.call.query, wire.call.passages
        check_model(wire.call.model, self._limits.model_names)
        return wire


def build_router(
    reranker: Reranker,
    models: Sequence[Model],
    info: Callable[[], dict[str, Any]],
    limits: WireLimits,
    bodies: BodyBudget,
    device: str,
) -> APIRouter:
    """Returns the routes, for an app whose middlewares set `RequestContext.key`.

    `device` is the device that the engine computes on, for one of TEI's headers.
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
        return _json(ModelList(object="list", data=list(models)))

    async def get_model(name: str) -> Response:
        for model in models:
            if model["id"] == name:
                return _json(model)
        raise unknown_model(name, [model["id"] for model in models])

    async def describe() -> Response:
        return _json(info())

    for path in MODELS_PATHS:
        router.add_api_route(path, list_models, methods=["GET"], responses=description_responses(ModelList))
    router.add_api_route(MODEL_PATH, get_model, methods=["GET"], responses=description_responses(Model))
    router.add_api_route(INFO_PATH, describe, methods=["GET"], responses=description_responses(dict[str, Any]))
    return router


def timeout_ms_of(headers: Headers) -> int | None:
    """Returns the deadline that the caller sets. Raises BadRequest for a header that is none."""
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


def timing_headers(timings: Timings, tokens: int, calls: Sequence[RerankCall]) -> dict[str, str]:
    """Returns the milliseconds of each phase: under TEI's names as whole numbers, as Server-Timing with fractions."""
    return {
        "x-total-time": str(round(timings.total)),
        "x-tokenization-time": str(round(timings.tokenize)),
        "x-queue-time": str(round(timings.queue)),
        "x-inference-time": str(round(timings.inference)),
        "x-compute-time": str(round(timings.total)),
        "x-compute-tokens": str(tokens),
        "x-compute-characters": str(sum(len(call.query) + sum(map(len, call.passages)) for call in calls)),
        "server-timing": f"queue;dur={timings.queue:.1f}, tokenize;dur={timings.tokenize:.1f}, "
        f"inference;dur={timings.inference:.1f}, total;dur={timings.total:.1f}",
    }


def _json(body: object, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), headers=headers, media_type="application/json")
