"""Describes bodies with several queries for the OpenAPI page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.wire.cohere_answer import Error
from service.wire.openapi import ERRORS, RETRY_AFTER, WAIT, body_schema, inlined
from service.wire.several.batch import BatchAnswer
from service.wire.several.decisions import (
    MEANING,
    DecisionsAnswer,
    DecisionsBody,
    NoulQuestion,
    PredicateQuestion,
    SystemOneAnswer,
    SystemOneBody,
)
from service.wire.shape import SUPERSET, WireLimits
from service.wire.threshold import PARAMETER

_BATCH = (
    "Each of `requests` is a body with `documents`, and gets the status and the body that it would have got by itself. "
    "The batch is admitted as one call: a limit, a full queue or a deadline refuse it as a whole, and all its "
    "documents count against the key's limit."
)


_LEAST = PARAMETER | {"description": "The least score of every request; see `min_score` in `requests`."}


@dataclass(frozen=True, slots=True)
class Operation:
    """What the page says of a route."""

    summary: str
    responses: dict[int | str, dict[str, Any]]
    extra: dict[str, Any]


def batch_operation(limits: WireLimits) -> Operation:
    requests = {
        "type": "array",
        "minItems": 1,
        "maxItems": limits.max_batch_requests,
        "items": body_schema(SUPERSET, limits),
    }
    schema = {"type": "object", "required": ["requests"], "properties": {"requests": requests}}
    responses = _responses(BatchAnswer, "In the order of the requests")
    extra = _extra(_BATCH, schema) | {"parameters": [_LEAST]}
    return Operation("Rank documents for many queries", responses, extra)


def decisions_operation(limits: WireLimits) -> Operation:
    schema = inlined(DecisionsBody)
    schema["properties"]["input"] = _any_of("string", "array", described=schema["properties"]["input"])
    questions = schema["properties"]["questions"]
    questions["items"] = inlined(PredicateQuestion)
    questions["maxItems"] = limits.max_batch_requests
    return Operation("Score a text against instructions", _responses(DecisionsAnswer, MEANING), _extra(MEANING, schema))


def systemone_operation(limits: WireLimits) -> Operation:
    schema = inlined(SystemOneBody)
    schema["properties"]["state"] = _any_of("string", "object", "array", described=schema["properties"]["state"])
    questions = schema["properties"]["questions"]
    questions["additionalProperties"] = inlined(NoulQuestion)
    questions["maxProperties"] = limits.max_batch_requests
    return Operation(
        "Score a text against instructions, by ids", _responses(SystemOneAnswer, MEANING), _extra(MEANING, schema)
    )


def _any_of(*kinds: str, described: dict[str, Any]) -> dict[str, Any]:
    return described | {"anyOf": [{"type": kind} for kind in kinds]}


def _extra(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {"description": description, "requestBody": {"required": True, "content": content}}


def _responses(answer: Any, description: str) -> dict[int | str, dict[str, Any]]:
    responses: dict[int | str, dict[str, Any]] = {200: {"model": answer, "description": description}}
    for status, text in ERRORS.items():
        responses[status] = {"model": Error, "description": text}
    for status, text in WAIT.items():
        responses[status] = {"model": Error, "description": text, "headers": RETRY_AFTER}
    return responses
