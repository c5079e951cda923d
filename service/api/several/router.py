"""The routes of this room, as the app includes them."""

from __future__ import annotations

from fastapi import APIRouter

from service.api.paths import BATCH_PATH, DECISIONS_PATH, SYSTEM_ONE_PATH
from service.api.several.batch import batch_form
from service.api.several.decisions import decisions_form
from service.api.several.route import Form, SeveralRoute
from service.http.body_budget import BodyBudget
from service.reranker import Reranker
from service.wire.several import openapi
from service.wire.several.decisions import OPENAI, SYSTEM_ONE, read_decisions, read_systemone
from service.wire.shape import WireLimits


def several_router(reranker: Reranker, limits: WireLimits, bodies: BodyBudget) -> APIRouter:
    """Returns the routes, for an app whose middlewares set `RequestContext.key`."""
    router = APIRouter()

    def add(path: str, form: Form, operation: openapi.Operation) -> None:
        router.add_api_route(
            path,
            SeveralRoute(reranker, limits, bodies, form),
            methods=["POST"],
            summary=operation.summary,
            operation_id=form.label,
            responses=operation.responses,
            openapi_extra=operation.extra,
        )

    add(BATCH_PATH, batch_form(limits), openapi.batch_operation(limits))
    add(DECISIONS_PATH, decisions_form(OPENAI, read_decisions, limits), openapi.decisions_operation(limits))
    add(SYSTEM_ONE_PATH, decisions_form(SYSTEM_ONE, read_systemone, limits), openapi.systemone_operation(limits))
    return router
